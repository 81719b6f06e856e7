/** The two things a step can minimise: the error of the denoised prediction, or the VAE's reconstruction error. */
import { lossTables, type LossTables } from '../diffusion/losses'
import { sdSchedule, type NoiseSchedule, type Prediction } from '../diffusion/schedules'
import { input, output, type Graph } from '../graph/graph'
import { gaussianKl } from '../graph/ops/gaussian_kl'
import { loss as lossOp, type LossKind } from '../graph/ops/loss'
import { mix } from '../graph/ops/mix'
import { sampleGaussian } from '../graph/ops/sample_gaussian'
import type { LossSeed } from '../graph/passes/autodiff'
import type { Tensor } from '../graph/tensor'
import { latentDownscale, type StableDiffusionConfig } from '../models/families/sd15'
import { vaeDecoder, vaeEncoder } from '../models/networks/autoencoder-kl'
import { joinChunks } from '../models/join-chunks'
import { clipText } from '../models/networks/clip-text'
import { unet2dCondition } from '../models/networks/unet-2d-condition'
import type { NetworkName, Scope } from '../models/scope'
import { latentInput, type LatentSize } from '../pipeline/networks'
import type { TrainerOptions } from '../recipe/trainer-options'

export interface Objective {
  schedule: NoiseSchedule
  prediction: Prediction
  tables: LossTables
}

const elementwise: Record<TrainerOptions['loss']['kind'], LossKind> = { mse: 'l2', l1: 'l1', huber: 'huber', smooth_l1: 'smooth_l1' }

export function readObjective(
  { loss }: Pick<TrainerOptions, 'loss'>,
  { prediction, zeroTerminalSnr }: { prediction: Prediction; zeroTerminalSnr: boolean },
): Objective {
  const schedule = sdSchedule({ zeroTerminalSnr })
  const { c, scale, schedule: course } = loss
  const robust = loss.kind === 'huber' || loss.kind === 'smooth_l1'
  const weights = [
    ...(loss.min_snr_gamma === undefined ? [] : [{ name: 'min_snr_gamma' as const, options: { gamma: loss.min_snr_gamma } }]),
    ...(loss.debiased ? [{ name: 'debiased' as const }] : []),
  ]
  const choice = { name: loss.kind, ...(robust && { options: { c, scale, schedule: course } }) }
  return { schedule, prediction, tables: lossTables(schedule, prediction, choice, weights) }
}

/** The shape of one micro-batch. */
export interface StepShape extends LatentSize {
  /** Length of the text states. */
  tokens: number
  /** Rows of ids per sample where the text encoder is part of the step; 1 unless told. */
  rows?: number
}

/** "batch 2, 512x768 px, 77 tokens" */
export function formatShape({ batch, height, width, tokens }: StepShape): string {
  return `batch ${batch}, ${width * latentDownscale}x${height * latentDownscale} px, ${tokens} tokens`
}

export interface StepLosses {
  seeds: Omit<LossSeed, 'scale'>[]
  scales: number[]
  /** Tensors whose gradients tests and tools may ask for. */
  noisy?: Tensor
  context?: Tensor
}

/**
 * latents, noise, coefficients, timesteps, weights and context (or ids) -> loss, per_sample.
 * @param scopeOf the scope of each network; they share one graph
 * @param textEncoder whether the text encoder is part of the step
 */
export function buildDenoising(
  graph: Graph,
  scopeOf: (network: NetworkName) => Scope,
  config: StableDiffusionConfig,
  shape: StepShape,
  objective: Objective,
  { textEncoder, clipSkip, kind }: { textEncoder: boolean; clipSkip: number; kind: TrainerOptions['loss']['kind'] },
): StepLosses {
  const { batch, tokens, rows = 1 } = shape
  const channels = config.unet.inChannels
  const perSample = (name: string) => input(graph, name, [batch])
  const context = textEncoder
    ? encodeRows(graph, scopeOf('text_encoder'), config, { batch, rows }, clipSkip)
    : input(graph, 'context', [batch, tokens, config.unet.crossAttentionDim])
  const latents = latentInput(graph, 'latents', shape, channels)
  const noise = latentInput(graph, 'noise', shape, channels)
  const noisy = mix(graph, { a: latents, b: noise, ca: perSample('signal'), cb: perSample('sigma') }, graph.dtype, 'noisy')
  const target =
    objective.prediction === 'epsilon'
      ? noise
      : mix(graph, { a: noise, b: latents, ca: graph.inputs.get('signal')!, cb: perSample('minus_sigma') }, 'f32', 'velocity')
  const timesteps = perSample('timesteps')
  const pred = unet2dCondition(scopeOf('unet'), config.unet, { latents: noisy, timesteps, context })
  const weight = perSample('weight')
  const huberC = objective.tables.c ? perSample('huber_c') : undefined
  const result = lossOp(graph, { pred, target, weight, huberC }, elementwise[kind])
  output(graph, 'loss', result.total)
  output(graph, 'per_sample', result.perSample)
  return { seeds: [{ loss: result.total }], scales: [1], noisy, context }
}

/** ids [batch * rows, 77] -> text states [batch, L, width] */
function encodeRows(
  graph: Graph,
  scope: Scope,
  { textEncoder }: StableDiffusionConfig,
  { batch, rows }: { batch: number; rows: number },
  clipSkip: number,
): Tensor {
  const ids = input(graph, 'ids', [batch * rows, textEncoder.positions], 'i32')
  return joinChunks(graph, clipText(scope, textEncoder, ids, clipSkip), rows)
}

/** image, eps, weight -> loss (with the KL divergence), per_sample (reconstruction alone) */
export function buildAutoencoding(
  graph: Graph,
  scopeOf: (network: NetworkName) => Scope,
  config: StableDiffusionConfig,
  { batch, height, width }: LatentSize,
  { kind, klWeight }: { kind: TrainerOptions['loss']['kind']; klWeight: number },
): StepLosses {
  const scope = scopeOf('vae')
  const { imageChannels, latentChannels } = config.vae
  const image = input(graph, 'image', [batch, height * latentDownscale, width * latentDownscale, imageChannels])
  const moments = vaeEncoder(scope, config.vae, image)
  const latents = sampleGaussian(graph, moments, latentInput(graph, 'eps', { batch, height, width }, latentChannels))
  const pred = vaeDecoder(scope, config.vae, latents)
  const weight = input(graph, 'weight', [batch])
  const huberC = kind === 'huber' || kind === 'smooth_l1' ? input(graph, 'huber_c', [batch]) : undefined
  const result = lossOp(graph, { pred, target: image, weight, huberC }, elementwise[kind])
  const kl = gaussianKl(graph, moments)
  output(graph, 'loss', result.total)
  output(graph, 'per_sample', result.perSample)
  output(graph, 'kl', kl.total)
  return { seeds: [{ loss: result.total }, { loss: kl.total }], scales: [1, klWeight] }
}
