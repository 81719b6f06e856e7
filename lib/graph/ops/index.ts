/** The list of ops. Adding one is a file here, a kernel of the same stem per device, and one line below. */
import type { OpDefinition } from '../op'
import { activationOp } from './activation'
import { activationBackwardOp } from './activation_backward'
import { adamwOp } from './adamw'
import { adamw8bitOp } from './adamw_8bit'
import { addOp } from './add'
import { attentionOp } from './attention'
import { attentionBackwardOp } from './attention_backward'
import { castOp } from './cast'
import { clearOp } from './clear'
import { concatOp } from './concat'
import { conv2dOp } from './conv2d'
import { conv2dInputGradOp } from './conv2d_input_grad'
import { conv2dWeightGradOp } from './conv2d_weight_grad'
import { emaOp } from './ema'
import { embeddingOp } from './embedding'
import { embeddingBackwardOp } from './embedding_backward'
import { gateOp } from './gate'
import { gateBackwardOp } from './gate_backward'
import { gaussianKlOp } from './gaussian_kl'
import { gaussianKlBackwardOp } from './gaussian_kl_backward'
import { gegluOp } from './geglu'
import { gegluBackwardOp } from './geglu_backward'
import { globalNormOp } from './global_norm'
import { groupNormOp } from './group_norm'
import { groupNormBackwardOp } from './group_norm_backward'
import { layerNormOp } from './layer_norm'
import { layerNormBackwardOp } from './layer_norm_backward'
import { linearOp } from './linear'
import { linearInputGradOp } from './linear_input_grad'
import { linearWeightGradOp } from './linear_weight_grad'
import { lossOp } from './loss'
import { lossBackwardOp } from './loss_backward'
import { lowRankDhOp } from './low_rank_dh'
import { mixOp } from './mix'
import { modulateOp } from './modulate'
import { modulateBackwardOp } from './modulate_backward'
import { reshapeOp } from './reshape'
import { rmsNormOp } from './rms_norm'
import { rmsNormBackwardOp } from './rms_norm_backward'
import { rotaryEmbeddingOp } from './rotary_embedding'
import { sampleGaussianOp } from './sample_gaussian'
import { sampleGaussianBackwardOp } from './sample_gaussian_backward'
import { sliceOp } from './slice'
import { sliceBackwardOp } from './slice_backward'
import { sumRowsOp } from './sum_rows'
import { timestepEmbeddingOp } from './timestep_embedding'
import { upsampleNearestOp } from './upsample_nearest'
import { upsampleNearestBackwardOp } from './upsample_nearest_backward'

export const ops: readonly OpDefinition[] = [
  activationOp,
  activationBackwardOp,
  adamwOp,
  adamw8bitOp,
  addOp,
  attentionOp,
  attentionBackwardOp,
  castOp,
  clearOp,
  concatOp,
  conv2dOp,
  conv2dInputGradOp,
  conv2dWeightGradOp,
  emaOp,
  embeddingOp,
  embeddingBackwardOp,
  gateOp,
  gateBackwardOp,
  gaussianKlOp,
  gaussianKlBackwardOp,
  gegluOp,
  gegluBackwardOp,
  globalNormOp,
  groupNormOp,
  groupNormBackwardOp,
  layerNormOp,
  layerNormBackwardOp,
  linearOp,
  linearInputGradOp,
  linearWeightGradOp,
  lossOp,
  lossBackwardOp,
  lowRankDhOp,
  mixOp,
  modulateOp,
  modulateBackwardOp,
  reshapeOp,
  rmsNormOp,
  rmsNormBackwardOp,
  rotaryEmbeddingOp,
  sampleGaussianOp,
  sampleGaussianBackwardOp,
  sliceOp,
  sliceBackwardOp,
  sumRowsOp,
  timestepEmbeddingOp,
  upsampleNearestOp,
  upsampleNearestBackwardOp,
]
