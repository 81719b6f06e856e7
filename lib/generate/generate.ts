/**
 * Text to image. One seed gives the noise that PyTorch's CPU generator gives for `torch.randn([1, C, h, w])`, so the same
 * seed starts from the same noise as in diffusers, ComfyUI and (with its random numbers set to CPU) AUTOMATIC1111. Image i
 * of a prompt has seed + i and a generator of its own, from which ancestral samplers draw on; so an image does not depend
 * on how many others are made with it.
 */
import { LorikeetError } from '../base/errors'
import { findSampler, type Spacing } from '../diffusion/samplers'
import { torchGenerator, type TorchGenerator } from '../diffusion/torch-rng'
import { latentDownscale } from '../models/families/sd15'
import { checkImage, type Values } from '../pipeline/images'
import type { Pipeline } from '../pipeline/pipeline'
import type { LoraUse } from '../pipeline/runtime'
import { findLoras, resolvePrompt } from './loras'
import { checkFinite, joinBatches, sample } from './sample'
import { type GenerationSettings, modelName, type UsedLora } from './settings'

export interface GenerateOptions {
  /** One or several; `<lora:name:0.8>` and `(emphasis:1.2)` are understood, and any length. */
  prompt: string | readonly string[]
  negativePrompt?: string
  /** Default 20. */
  steps?: number
  /** Classifier-free guidance; 1 switches it off, and with it the negative prompt. Default 7. */
  cfg?: number
  /** Name of a sampler; default `dpmpp_2m_karras`. */
  sampler?: string
  /** Spread of the timesteps; the sampler's own unless told. */
  spacing?: Spacing
  /** 0 to 2^53 - 1; random unless told. */
  seed?: number
  /** Pixels, multiples of 8; what the base was made for unless told. */
  width?: number
  height?: number
  /** Images of each prompt, with seed, seed + 1 and so on. Default 1. */
  count?: number
  /** How many of them are made at once: more memory, sometimes less time. Default 1. */
  batch?: number
  clipSkip?: number
  /** Standard normal noise instead of that of the seed, [images of all prompts, C, h, w]; scaled as the sampler needs it. */
  initialLatents?: Values
  /** Conditional and unconditional half one after the other: half the memory. */
  separateGuidance?: boolean
  /** LoRAs besides those that the prompt names. See `generate` for when they are applied. */
  loras?: readonly LoraUse[]
  /** Where LoRAs that the prompt names are looked for, subfolders included. */
  loraFolders?: readonly string[]
  /** After every step: `step` of `steps`, counted over all images. */
  onStep?: (step: number, steps: number) => void
}

export interface Generated {
  /** Pixels in about [-1, 1], [1, 3, H, W] each, prompt after prompt. */
  images: Values[]
  /** Scaled latents, [N, C, h, w]. */
  latents: Values
  seeds: number[]
  /** What it takes to make each image again. */
  settings: GenerationSettings[]
}

/**
 * Makes `count` images of each prompt. When `loras` is given or a prompt names LoRAs, these replace the ones applied to the
 * pipeline, and stay; otherwise the pipeline's own are used as they are. `loras: []` takes them off.
 * @throws LorikeetError (usage) for settings that do not fit, (diverged) when the latents are not finite
 */
export async function generate(pipe: Pipeline, options: GenerateOptions): Promise<Generated> {
  const { steps = 20, count = 1, batch = 1, seed = randomSeed(), onStep } = options
  const sampler = findSampler(options.sampler ?? 'dpmpp_2m_karras')
  const size = latentSize(pipe, options)
  const prompts = typeof options.prompt === 'string' ? [options.prompt] : options.prompt
  checkCounts({ count, batch, prompts: prompts.length })
  checkSeed(seed, count)
  const given = options.initialLatents && splitNoise(options.initialLatents, prompts.length * count, size)

  const perPrompt = Math.ceil(count / batch) * steps
  const images: Values[] = []
  const latents: Values[] = []
  const settings: GenerationSettings[] = []
  for (const [p, prompt] of prompts.entries()) {
    const used = await applyLoras(pipe, prompt, options)
    const { text, negative, cfg } = await encode(pipe, used.text, options)
    for (let first = 0; first < count; first += batch) {
      const seeds = Array.from({ length: Math.min(batch, count - first) }, (_, i) => seed + first + i)
      const generators = seeds.map(torchGenerator)
      const draw = () => joinNoise(generators, size)
      const begun = p * perPrompt + Math.ceil(first / batch) * steps
      const drawn = draw() // also where noise is given: what follows is then the same
      const result = await sample(pipe, {
        sampler,
        steps,
        cfg,
        noise: given ? joinBatches(...given.slice(p * count + first, p * count + first + seeds.length)) : drawn,
        context: repeat(text, seeds.length),
        negative: repeat(negative, seeds.length),
        stepNoise: () => draw().data,
        ...(options.spacing && { spacing: options.spacing }),
        ...(options.separateGuidance && { separateGuidance: true }),
        ...(onStep && { onStep: (step) => onStep(begun + step, perPrompt * prompts.length) }),
      })
      latents.push(result)
      for (const [i, each] of splitBatch(result).entries()) {
        const image = await pipe.decodeLatents(each)
        checkFinite(image.data, `image with seed ${seeds[i]}`)
        images.push(image)
        settings.push({
          prompt: used.text,
          negativePrompt: options.negativePrompt ?? '',
          steps,
          sampler: sampler.name,
          cfg,
          seed: seeds[i]!,
          width: size.width * latentDownscale,
          height: size.height * latentDownscale,
          clipSkip: options.clipSkip ?? 1,
          model: modelName(pipe.base.location),
          loras: used.loras,
        })
      }
    }
  }
  return { images, latents: joinBatches(...latents), seeds: settings.map((entry) => entry.seed), settings }
}

/** A seed as other tools pick it: 32 bits. */
function randomSeed(): number {
  return Math.floor(Math.random() * 2 ** 32)
}

interface Size {
  channels: number
  height: number
  width: number
}

/** In latents. */
function latentSize(pipe: Pipeline, options: GenerateOptions): Size {
  const { width = pipe.base.imageSize, height = pipe.base.imageSize } = options
  for (const [where, value] of Object.entries({ width, height })) {
    if (Number.isInteger(value) && value > 0 && value % latentDownscale === 0) continue
    const nearest = Math.max(1, Math.round(value / latentDownscale)) * latentDownscale
    throw new LorikeetError('usage', `images need sides that are multiples of ${latentDownscale}`, {
      where,
      received: String(value),
      ...(Number.isFinite(nearest) && { fix: `The nearest that fits is ${nearest}` }),
    })
  }
  const { vae } = pipe.base.config
  return { channels: vae.latentChannels, height: height / latentDownscale, width: width / latentDownscale }
}

function checkCounts(counts: Record<string, number>): void {
  for (const [where, value] of Object.entries(counts))
    if (!Number.isInteger(value) || value < 1)
      throw new LorikeetError('usage', 'must be at least 1', { where, expected: 'a whole number', received: String(value) })
}

function checkSeed(seed: number, count: number): void {
  if (Number.isSafeInteger(seed) && seed >= 0 && Number.isSafeInteger(seed + count)) return
  throw new LorikeetError('usage', 'is out of range', {
    where: 'seed',
    expected: 'a whole number from 0 to 2^53 - 1',
    received: String(seed),
  })
}

async function applyLoras(
  pipe: Pipeline,
  prompt: string,
  { loras, loraFolders = [] }: GenerateOptions,
): Promise<{ text: string; loras: UsedLora[] }> {
  const { text, uses } = resolvePrompt(prompt, loras ?? [], findLoras(loraFolders))
  if (loras || uses.length > 0) await pipe.applyLoras(uses)
  return { text, loras: uses.map(({ file, strength, clipStrength = strength }) => ({ name: modelName(file), strength, clipStrength })) }
}

/** Text states of prompt and negative prompt, of one length. */
async function encode(
  pipe: Pipeline,
  prompt: string,
  { negativePrompt = '', cfg = 7, clipSkip = 1 }: GenerateOptions,
): Promise<{ text: Values; negative: Values; cfg: number }> {
  if (!Number.isFinite(cfg))
    throw new LorikeetError('usage', 'is no number', { where: 'cfg', expected: 'e.g. 7', received: String(cfg) })
  const [negative, text] = splitBatch(await pipe.encodePrompts([negativePrompt, prompt], { clipSkip }))
  return { text: text!, negative: negative!, cfg }
}

function splitNoise(noise: Values, images: number, { channels, height, width }: Size): Values[] {
  const [n, , h, w] = checkImage('the initial latents', noise, channels)
  if (n === images && h === height && w === width) return splitBatch(noise)
  throw new LorikeetError('usage', 'the initial latents do not fit the images', {
    expected: `[${images}, ${channels}, ${height}, ${width}]`,
    received: `[${noise.shape.join(', ')}]`,
  })
}

/** Each image's noise from its own generator, [N, C, h, w]. */
function joinNoise(generators: readonly TorchGenerator[], { channels, height, width }: Size): Values {
  const shape = [1, channels, height, width]
  return joinBatches(...generators.map((generator) => ({ data: generator.randn(channels * height * width), shape })))
}

/** [N, ...] -> N of [1, ...] */
function splitBatch({ data, shape }: Values): Values[] {
  const count = shape[0] ?? 1
  const size = data.length / count
  return Array.from({ length: count }, (_, i) => ({ data: data.slice(i * size, (i + 1) * size), shape: [1, ...shape.slice(1)] }))
}

/** [1, ...] -> [N, ...] */
function repeat(values: Values, count: number): Values {
  return joinBatches(...new Array<Values>(count).fill(values))
}
