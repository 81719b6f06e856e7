/**
 * A base model loaded on a device: tokenise, encode text and images, decode latents, predict. Images and latents cross this
 * border in the files' order [N, C, H, W].
 */
import { LorikeetError } from '../base/errors'
import { latentDownscale } from '../models/families/sd15'
import {
  generationRows,
  generationWeights,
  rowLength,
  trainingJoin,
  trainingRows,
  type MaxTokenLength,
} from '../text/chunks'
import { applyWeights, encodeWeighted } from '../text/emphasis'
import { openBaseModel, type BaseModel } from './base-model'
import type { Device } from './device'
import type { BaseOptions } from './held-base'
import { checkImage, toChannelsFirst, toChannelsLast, type Values } from './images'
import { buildDecoder, buildEncoder, buildPrediction, buildTextEncoder } from './networks'
import { createRuntime, type LoraUse, type Runtime, type RuntimeOptions } from './runtime'

export interface TextOptions {
  /** 1 (default) the last layer, 2 the last but one with the final norm, as sd-scripts and A1111 count. */
  clipSkip?: number
  /** Captions are cut here and joined as sd-scripts does; 75 unless told. */
  maxTokenLength?: MaxTokenLength
}

export interface EncodedText {
  /** [N, L, width] */
  context: Values
  /** [N, width], the state at the end token of the first row. */
  pooled: Values
}

export interface PredictInput {
  /** Noisy latents, [N, C, h, w]. */
  latents: Values
  /** One per sample; need not be whole. */
  timesteps: readonly number[]
  /** [N, L, width] */
  context: Values
}

export interface Pipeline {
  readonly base: BaseModel
  readonly device: Device
  /** How and where frozen weights are held. */
  readonly baseOptions: BaseOptions
  /** Start, ids of the text, end; not cut, not padded. */
  tokenize(text: string): number[]
  /** Captions as in training. */
  encodeText(texts: readonly string[], options?: TextOptions): Promise<EncodedText>
  /** Rows of ids as they are, [N, 77] -> [N, 77, width]. */
  encodeIds(rows: readonly (readonly number[])[], options?: Pick<TextOptions, 'clipSkip'>): Promise<Values>
  /** Prompts as in generation: any length, `(emphasis:1.2)`; all of one length in the result. */
  encodePrompts(prompts: readonly string[], options?: Pick<TextOptions, 'clipSkip'>): Promise<Values>
  /** Pixels [N, 3, H, W] in [-1, 1], sides multiples of 8 -> posterior, [N, 4, H/8, W/8] each, not scaled. */
  encodeImage(pixels: Values): Promise<{ mean: Values; logvar: Values }>
  /** Scaled latents [N, 4, h, w] -> pixels [N, 3, 8h, 8w], about [-1, 1], not clamped. */
  decodeLatents(latents: Values): Promise<Values>
  /** The UNet's raw output, [N, C, h, w]. */
  predict(input: PredictInput): Promise<Values>
  /** Replaces the LoRAs on top of the base; an empty list takes them off. */
  applyLoras(uses: readonly LoraUse[]): Promise<void>
  close(): void
  /** For trainers and tools: engine, weights, programs. */
  readonly runtime: Runtime
}

/**
 * @param location a diffusers folder, a single-file checkpoint, or `random:sd15`
 * @throws LorikeetError (input) for what is no supported model
 */
export async function loadPipeline(
  location: string,
  { device, ...options }: { device: Device } & Partial<RuntimeOptions>,
): Promise<Pipeline> {
  const { seed = 0, basePrecision = 'full', baseOffload = 0 } = options
  const base = openBaseModel(location, seed)
  const runtime = createRuntime(base, device, { ...options, seed })
  const { config } = base
  const run = async (key: string, network: 'unet' | 'vae' | 'text_encoder', build: Parameters<Runtime['program']>[2], inputs: Inputs) => {
    const { handle } = await runtime.program(key, network, build)
    const [outputs] = await runtime.engine.run([{ program: handle, inputs }])
    return outputs!
  }

  const encodeIds: Pipeline['encodeIds'] = async (rows, { clipSkip = 1 } = {}) => {
    checkClipSkip(clipSkip, config.textEncoder.layers)
    const { positions, width } = config.textEncoder
    const data = new Float32Array(rows.length * positions * width)
    for (const [i, row] of rows.entries()) {
      const ids = Int32Array.from(row)
      const key = `text_encoder/${clipSkip}`
      const { context } = await run(key, 'text_encoder', (scope) => buildTextEncoder(scope, config, 1, clipSkip), { ids })
      data.set(context as Float32Array, i * positions * width)
    }
    return { data, shape: [rows.length, positions, width] }
  }

  return {
    base,
    device,
    baseOptions: { basePrecision, baseOffload },
    runtime,
    tokenize: (text) => base.tokenizer.tokenize(text),
    encodeIds,
    async encodeText(texts, { clipSkip = 1, maxTokenLength = 75 } = {}) {
      const { width } = config.textEncoder
      const rowsOf = texts.map((text) => trainingRows(base.tokenizer.encode(text), base.tokenizer, maxTokenLength).rows)
      const states = await encodeIds(rowsOf.flat(), { clipSkip })
      return joinRows(states.data, rowsOf, width)
    },
    async encodePrompts(prompts, { clipSkip = 1 } = {}) {
      const { width } = config.textEncoder
      const weighted = prompts.map((prompt) => encodeWeighted(base.tokenizer, prompt))
      const count = Math.max(...weighted.map(({ ids }) => generationRows(ids, base.tokenizer).length))
      const rows = weighted.flatMap(({ ids }) => generationRows(ids, base.tokenizer, count))
      const states = await encodeIds(rows, { clipSkip })
      const weights = weighted.flatMap((entry) => generationWeights(entry.weights, count))
      weights.forEach((row, i) => applyWeights(states.data.subarray(i * rowLength * width, (i + 1) * rowLength * width), row))
      return { data: states.data, shape: [prompts.length, count * rowLength, width] }
    },
    async encodeImage(pixels) {
      const [batch, , height, width] = checkImage('the image', pixels, config.vae.imageChannels)
      if (height % latentDownscale !== 0 || width % latentDownscale !== 0)
        throw new LorikeetError('usage', `the image is ${width}x${height}`, { expected: `sides that are multiples of ${latentDownscale}` })
      const size = { batch, height: height / latentDownscale, width: width / latentDownscale }
      const key = `vae/encode/${batch}x${height}x${width}`
      const { moments } = await run(key, 'vae', (scope) => buildEncoder(scope, config, size), { image: toChannelsLast(pixels).data })
      return splitMoments(moments as Float32Array, size, config.vae.latentChannels)
    },
    async decodeLatents(latents) {
      const [batch, , height, width] = checkImage('the latents', latents, config.vae.latentChannels)
      const unscaled = toChannelsLast(latents).data.map((value) => value / config.vae.scalingFactor)
      const key = `vae/decode/${batch}x${height}x${width}`
      const build: Parameters<Runtime['program']>[2] = (scope) => buildDecoder(scope, config, { batch, height, width })
      const { image } = await run(key, 'vae', build, { latents: unscaled })
      const shape = [batch, height * latentDownscale, width * latentDownscale, config.vae.imageChannels]
      return toChannelsFirst({ data: image as Float32Array, shape })
    },
    async predict({ latents, timesteps, context }) {
      const [batch, , height, width] = checkImage('the latents', latents, config.unet.inChannels)
      const tokens = context.shape[1] ?? 0
      checkConditioning({ batch, width: config.unet.crossAttentionDim }, timesteps, context)
      const key = `unet/${batch}x${height}x${width}/${tokens}`
      const { prediction } = await run(
        key,
        'unet',
        (scope) => buildPrediction(scope, config, { batch, height, width }, tokens),
        { latents: toChannelsLast(latents).data, timesteps: Float32Array.from(timesteps), context: context.data },
      )
      return toChannelsFirst({ data: prediction as Float32Array, shape: [batch, height, width, config.unet.outChannels] })
    },
    async applyLoras(uses) {
      runtime.applyLoras(uses)
    },
    close: () => runtime.close(),
  }
}

type Inputs = Record<string, Float32Array | Int32Array>

function checkClipSkip(clipSkip: number, layers: number): void {
  if (Number.isInteger(clipSkip) && clipSkip >= 1 && clipSkip <= layers) return
  throw new LorikeetError('usage', 'is out of range', { where: 'clip_skip', expected: `1 to ${layers}`, received: String(clipSkip) })
}

function checkConditioning(expected: { batch: number; width: number }, timesteps: readonly number[], context: Values): void {
  const [n = 0, tokens = 0, width = 0] = context.shape
  const fits = n === expected.batch && width === expected.width && context.data.length === n * tokens * width
  if (fits && timesteps.length === expected.batch) return
  throw new LorikeetError('usage', 'timesteps and context do not fit the latents', {
    expected: `${expected.batch} timesteps and a context [${expected.batch}, L, ${expected.width}]`,
    received: `${timesteps.length} timesteps and [${context.shape.join(', ')}]`,
  })
}

function joinRows(states: Float32Array, rowsOf: readonly number[][][], width: number): EncodedText {
  const perText = rowsOf[0]?.length ?? 1
  const join = trainingJoin(perText)
  const length = join.length
  const context = new Float32Array(rowsOf.length * length * width)
  const pooled = new Float32Array(rowsOf.length * width)
  rowsOf.forEach((rows, i) => {
    const first = i * perText * rowLength
    join.forEach((from, to) => {
      const at = (first + from) * width
      context.set(states.subarray(at, at + width), (i * length + to) * width)
    })
    // CLIP pools at the first position of the largest id, which is the end token.
    const row = rows[0] ?? []
    const end = (first + row.indexOf(Math.max(...row))) * width
    pooled.set(states.subarray(end, end + width), i * width)
  })
  return {
    context: { data: context, shape: [rowsOf.length, length, width] },
    pooled: { data: pooled, shape: [rowsOf.length, width] },
  }
}

/** diffusers' DiagonalGaussianDistribution: the log variance is clamped to [-30, 20]. */
function splitMoments(
  moments: Float32Array,
  { batch, height, width }: { batch: number; height: number; width: number },
  channels: number,
): { mean: Values; logvar: Values } {
  const all = toChannelsFirst({ data: moments, shape: [batch, height, width, 2 * channels] })
  const shape = [batch, channels, height, width]
  const size = channels * height * width
  const mean = new Float32Array(batch * size)
  const logvar = new Float32Array(batch * size)
  for (let n = 0; n < batch; n++) {
    mean.set(all.data.subarray(n * 2 * size, (n * 2 + 1) * size), n * size)
    logvar.set(all.data.subarray((n * 2 + 1) * size, (n * 2 + 2) * size), n * size)
  }
  return { mean: { data: mean, shape }, logvar: { data: logvar.map((v) => Math.min(20, Math.max(-30, v))), shape } }
}
