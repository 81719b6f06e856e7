/**
 * From a batch to the input of a step: latents drawn from the VAE's posterior, noise, timesteps, text. All of it is a
 * pure function of (seed, step), so a resumed run continues with the same numbers.
 *
 * Latents are drawn afresh each time an image is used, as diffusers' training scripts do; sd-scripts draws once when it
 * caches them.
 */
import { philoxInt, philoxNormal } from '../base/philox'
import {
  decodeForBucket,
  type Batch,
  type BatchPlan,
  type Dataset,
  type EncodedLatents,
  type LatentCache,
} from '../dataset'
import { multiresNoise, noiseOffset, philoxSource, type LatentShape } from '../diffusion/noise'
import { latentDownscale, type StableDiffusionConfig } from '../models/families/sd15'
import type { Values } from '../pipeline/images'
import type { Recipe } from '../recipe'
import { joinFirst, type TextSource } from './encoders'
import type { AutoencodingInput, DenoisingInput, StepInput } from './step-input'

/** Far above the streams of initial parameters, which count from 0. */
const streams = { noise: 0x10000, timestep: 0x10001, posterior: 0x10002, noiseShape: 0x10100 } as const

export interface BatchInputs {
  batches: Batch[]
  inputs: StepInput[]
}

export interface BatchSources {
  recipe: Pick<Recipe, 'train'>
  dataset: Dataset
  plan: BatchPlan
  config: StableDiffusionConfig
  /** Undefined when the VAE is trained. */
  latents: LatentCache | undefined
  text: TextSource | undefined
}

/** @returns what a step, counted from 0, computes with */
export function createBatchInputs(sources: BatchSources): (step: number) => Promise<BatchInputs> {
  const { plan, dataset, latents, text } = sources
  const batchSize = dataset.options.batch_size
  return async (step) => {
    const batches = plan.batchesAt(step)
    const inputs = await Promise.all(
      batches.map((batch, i): Promise<StepInput> => {
        const micro = step * plan.accumulation + i
        // Every showing of an image has a number of its own.
        const first = micro * batchSize
        if (!latents || !text) return autoencoding(sources, batch, first)
        return denoising(sources, { batch, first, micro }, latents, text)
      }),
    )
    return { batches, inputs }
  }
}

async function denoising(
  { recipe: { train }, config }: BatchSources,
  { batch, first, micro }: { batch: Batch; first: number; micro: number },
  cache: LatentCache,
  text: TextSource,
): Promise<DenoisingInput> {
  const { seed } = train
  const posteriors = await Promise.all(batch.items.map(({ image, flip }) => cache.load(image, flip)))
  const latents = joinFirst(
    posteriors.map((posterior, i) => drawLatents(posterior, config.vae.scalingFactor, seed, first + i)),
  )
  const plain = joinFirst(
    posteriors.map(({ shape }, i) => normal({ seed, stream: streams.noise, step: first + i }, shape)),
  )
  return {
    latents,
    noise: shapeNoise(plain, latents, train, micro),
    timesteps: batch.items.map((_, i) =>
      philoxInt({ seed, stream: streams.timestep, step: first + i }, train.min_timestep, train.max_timestep),
    ),
    ...(await text(batch.items.map(({ caption }) => caption))),
  }
}

/** (mean + exp(logvar / 2) eps) times the scaling factor, [1, C, h, w] */
function drawLatents(
  { mean, logvar, shape }: EncodedLatents,
  scalingFactor: number,
  seed: number,
  sample: number,
): Values {
  const eps = normal({ seed, stream: streams.posterior, step: sample }, shape)
  return { data: eps.data.map((e, i) => (mean[i]! + Math.exp(0.5 * logvar[i]!) * e) * scalingFactor), shape }
}

function shapeNoise(noise: Values, latents: Values, train: Recipe['train'], micro: number): Values {
  const source = philoxSource({ seed: train.seed, stream: streams.noiseShape, step: micro })
  const shape = noise.shape as LatentShape
  if (train.noise_offset)
    return { data: noiseOffset(noise.data, latents.data, shape, train.noise_offset, source), shape }
  if (train.multires_noise) return { data: multiresNoise(noise.data, shape, train.multires_noise, source), shape }
  return noise
}

async function autoencoding(
  { recipe, dataset, config }: BatchSources,
  batch: Batch,
  first: number,
): Promise<AutoencodingInput> {
  const { width, height } = batch.size
  const background = dataset.options.alpha_background
  const pixels = await Promise.all(
    batch.items.map(({ image, flip }) => decodeForBucket({ ...dataset.images[image]!, flip, background })),
  )
  const shape = [1, config.vae.latentChannels, height / latentDownscale, width / latentDownscale]
  const { seed } = recipe.train
  return {
    images: joinFirst(pixels.map((data) => ({ data, shape: [1, config.vae.imageChannels, height, width] }))),
    eps: joinFirst(pixels.map((_, i) => normal({ seed, stream: streams.posterior, step: first + i }, shape))),
  }
}

function normal(key: { seed: number; stream: number; step: number }, shape: readonly number[]): Values {
  return { data: philoxNormal(key, new Float32Array(shape.reduce((a, b) => a * b, 1))), shape }
}
