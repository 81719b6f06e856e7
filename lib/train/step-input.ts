/** One micro-batch as people give it, checked and turned into the inputs of the step's program. */
import { LorikeetError } from '../base/errors'
import { noiseCoefficients } from '../diffusion/schedules'
import { elements } from '../graph/tensor'
import { latentDownscale, type StableDiffusionConfig } from '../models/families/sd15'
import { checkImage, toChannelsLast, type Values } from '../pipeline/images'
import type { Objective, StepShape } from './objective'

/** A batch of noised latents to denoise. Arrays are [N, C, h, w]. */
export interface DenoisingInput {
  /** Scaled by the VAE's scaling factor. */
  latents: Values
  noise: Values
  /** Whole numbers, 0 to 999, one per sample. */
  timesteps: readonly number[]
  /** [N, L, width], when the text encoder is not trained. */
  context?: Values
  /** Per sample its rows of ids (one row, or as many as max_token_length / 75), when the text encoder is trained. */
  ids?: readonly (readonly (readonly number[])[])[]
  /** Factors on the loss of each sample, e.g. for prior preservation; 1 unless told. */
  weights?: readonly number[]
}

/** A batch of images for the VAE: pixels [N, 3, H, W] in [-1, 1], eps [N, 4, H/8, W/8] standard normal. */
export interface AutoencodingInput {
  images: Values
  eps: Values
}

export type StepInput = DenoisingInput | AutoencodingInput

export interface PreparedStep {
  shape: StepShape
  inputs: Record<string, Float32Array | Int32Array>
}

export interface StepRules {
  config: StableDiffusionConfig
  objective: Objective
  trainsTextEncoder: boolean
  trainsVae: boolean
}

/** @throws LorikeetError (usage) naming what does not fit */
export function prepareStep(step: StepInput, rules: StepRules): PreparedStep {
  if ('images' in step) {
    if (!rules.trainsVae) throw new LorikeetError('usage', 'images are for training the VAE; this trainer needs latents')
    return prepareImages(step, rules)
  }
  if (rules.trainsVae) throw new LorikeetError('usage', 'training the VAE needs images, not latents')
  return prepareLatents(step, rules)
}

function prepareImages({ images, eps }: AutoencodingInput, { config, objective }: StepRules): PreparedStep {
  const [batch, , height, width] = checkImage('images', images, config.vae.imageChannels)
  const [n, , h, w] = checkImage('eps', eps, config.vae.latentChannels)
  if (n !== batch || h * latentDownscale !== height || w * latentDownscale !== width)
    throw new LorikeetError('usage', 'eps does not fit the images', {
      expected: `[${batch}, ${config.vae.latentChannels}, ${height / latentDownscale}, ${width / latentDownscale}]`,
      received: `[${eps.shape.join(', ')}]`,
    })
  const c = objective.tables.c?.[0]
  return {
    shape: { batch, height: h, width: w, tokens: 0 },
    inputs: {
      image: toChannelsLast(images).data,
      eps: toChannelsLast(eps).data,
      weight: new Float32Array(batch).fill(1),
      ...(c !== undefined && { huber_c: new Float32Array(batch).fill(c) }),
    },
  }
}

function prepareLatents(step: DenoisingInput, { config, objective, trainsTextEncoder }: StepRules): PreparedStep {
  const { latents, noise, timesteps, weights } = step
  const [batch, , height, width] = checkImage('latents', latents, config.unet.inChannels)
  if (noise.shape.join() !== latents.shape.join() || noise.data.length !== latents.data.length)
    throw new LorikeetError('usage', 'noise does not have the shape of the latents', {
      expected: `[${latents.shape.join(', ')}]`,
      received: `[${noise.shape.join(', ')}]`,
    })
  const { schedule, prediction, tables } = objective
  if (timesteps.length !== batch || !timesteps.every((t) => Number.isInteger(t) && t >= 0 && t < schedule.steps))
    throw new LorikeetError('usage', 'timesteps are wrong', {
      expected: `${batch} whole numbers from 0 to ${schedule.steps - 1}`,
      received: `[${timesteps.join(', ')}]`,
    })
  const coefficients = timesteps.map((t) => noiseCoefficients(schedule, t))
  const text = trainsTextEncoder ? textIds(step, batch, config) : textStates(step, batch, config)
  const table = (values: Float64Array) => Float32Array.from(timesteps, (t) => values[t] ?? 0)
  const weight = table(tables.weight)
  weights?.forEach((factor, i) => (weight[i]! *= factor))
  return {
    shape: { batch, height, width, tokens: text.tokens, rows: text.rows },
    inputs: {
      ...text.inputs,
      latents: toChannelsLast(latents).data,
      noise: toChannelsLast(noise).data,
      timesteps: Float32Array.from(timesteps),
      signal: Float32Array.from(coefficients, ({ signal }) => signal),
      sigma: Float32Array.from(coefficients, ({ noise: sigma }) => sigma),
      ...(prediction === 'v_prediction' && { minus_sigma: Float32Array.from(coefficients, ({ noise: sigma }) => -sigma) }),
      weight,
      ...(tables.c && { huber_c: table(tables.c) }),
    },
  }
}

function textStates({ context }: DenoisingInput, batch: number, { unet }: StableDiffusionConfig) {
  const [n, tokens = 0, width] = context?.shape ?? []
  if (!context || n !== batch || width !== unet.crossAttentionDim || context.data.length !== elements(context.shape))
    throw new LorikeetError('usage', 'context is wrong', {
      expected: `[${batch}, L, ${unet.crossAttentionDim}]`,
      received: context ? `[${context.shape.join(', ')}]` : 'nothing',
    })
  return { tokens, rows: 1, inputs: { context: context.data } }
}

function textIds({ ids }: DenoisingInput, batch: number, { textEncoder }: StableDiffusionConfig) {
  const length = textEncoder.positions
  const rows = ids?.[0]?.length ?? 0
  if (!ids || rows === 0 || ids.length !== batch || !ids.every((of) => of.length === rows && of.every((row) => row.length === length)))
    throw new LorikeetError('usage', 'ids are wrong', {
      expected: `for each of ${batch} samples equally many rows of ${length} token ids, since the text encoder is trained`,
      received: ids ? `rows of ${ids.map((of) => of.map((row) => row.length).join('+')).join(', ')}` : 'nothing',
    })
  return { tokens: rows === 1 ? length : rows * (length - 2) + 2, rows, inputs: { ids: Int32Array.from(ids.flat(2)) } }
}
