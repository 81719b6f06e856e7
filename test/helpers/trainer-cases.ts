/** The LoRA training cases of the fixtures (sd-scripts on diffusers, PyTorch AdamW) as options and inputs of our trainer. */
import type { TrainerInput } from '../../lib/recipe/trainer-options'
import type { DenoisingInput } from '../../lib/train/step-input'
import { floats, numbers, readFixtureJson, readFixtureTensors, type FixtureTensor } from './fixture-tensors'

export interface CaseParameters {
  dim: number
  alpha: number
  conv_dim: number | null
  conv_alpha: number | null
  init_file: string
  unet_lr: number
  text_encoder_lr: number | null
  adamw: { betas: [number, number]; eps: number; weight_decay: number }
  max_grad_norm: number
  steps: number
  options: { min_snr_gamma?: number; loss_type?: 'huber'; v_parameterization?: boolean }
  losses: number[]
  grad_norms_before_clip: number[]
  modules: number
}

export const caseNames = ['base', 'min_snr5', 'vpred', 'huber', 'opt', 'te', 'conv'] as const

const folder = ['sd15-tiny', 'lora'] as const

export function readCase(name: string): { params: CaseParameters; init: string } {
  const { params } = readFixtureJson<{ params: CaseParameters }>(...folder, `${name}.json`)
  return { params, init: params.init_file }
}

export function caseTensors(file: string): Map<string, FixtureTensor> {
  return readFixtureTensors(...folder, file)
}

export function trainerInput(params: CaseParameters): TrainerInput {
  const { options } = params
  return {
    adapter: {
      kind: 'lora',
      rank: params.dim,
      alpha: params.alpha,
      ...(params.conv_dim !== null && { conv_rank: params.conv_dim, conv_alpha: params.conv_alpha ?? params.conv_dim }),
    },
    networks: {
      unet: { learning_rate: params.unet_lr },
      ...(params.text_encoder_lr !== null && { text_encoder: { learning_rate: params.text_encoder_lr } }),
    },
    optimizer: { kind: 'adamw', ...params.adamw },
    max_grad_norm: params.max_grad_norm,
    loss: {
      kind: options.loss_type === 'huber' ? 'huber' : 'mse',
      ...(options.min_snr_gamma !== undefined && { min_snr_gamma: options.min_snr_gamma }),
    },
    prediction_type: options.v_parameterization ? 'v_prediction' : 'epsilon',
  }
}

/** @param textEncoder whether it is trained, so that the step takes ids */
export function batch(step: number, textEncoder: boolean): DenoisingInput {
  const tensors = caseTensors('batches.safetensors')
  const values = (name: string) => ({ data: floats(tensors, `${step}.${name}`), shape: tensors.get(`${step}.${name}`)!.shape })
  const ids = numbers(tensors, `${step}.ids`)
  return {
    latents: values('latents'),
    noise: values('noise'),
    timesteps: numbers(tensors, `${step}.timesteps`),
    ...(textEncoder ? { ids: [[ids.slice(0, 77)], [ids.slice(77)]] } : { context: values('emb') }),
  }
}
