/** The pipeline's networks as the dataset's caches want them, and the text of a batch as a step wants it. */
import { createHash } from 'node:crypto'
import type { CaptionCache, CaptionEncoder, LatentEncoder } from '../dataset'
import { latentDownscale } from '../models/families/sd15'
import type { Values } from '../pipeline/images'
import type { Pipeline } from '../pipeline/pipeline'
import { trainingRows, type MaxTokenLength } from '../text/chunks'

export interface TextSettings {
  clipSkip: number
  maxTokenLength: MaxTokenLength
}

export async function latentEncoder(pipe: Pipeline): Promise<LatentEncoder> {
  return {
    id: ['vae', await pipe.base.fingerprint('vae'), pipe.device.computeDtype, latentDownscale].join('/'),
    async encode(pixels, shape) {
      const { mean, logvar } = await pipe.encodeImage({ data: pixels, shape })
      return { mean: mean.data, logvar: logvar.data, shape: mean.shape }
    },
  }
}

export async function captionEncoder(
  pipe: Pipeline,
  { clipSkip, maxTokenLength }: TextSettings,
): Promise<CaptionEncoder> {
  const weights = await pipe.base.fingerprint('text_encoder')
  return {
    id: ['text', weights, tokenizerId(pipe), computedIn(pipe), clipSkip, maxTokenLength].join('/'),
    async encode(caption) {
      const { context } = await pipe.encodeText([caption], { clipSkip, maxTokenLength })
      return { context }
    },
  }
}

function computedIn({ device, baseOptions: { basePrecision = 'full' } }: Pipeline): string {
  return basePrecision === 'full' ? device.computeDtype : `${device.computeDtype} on ${basePrecision}`
}

/** Tokenizers are told apart by what they make of one text that has something of everything. */
function tokenizerId({ base }: Pipeline): string {
  const ids = base.tokenizer.encode(
    'Ohwx person, a "photo" of naïve 東京 2 dogs; 1girl & <|x|> 🦜 supercalifragilistic\u00a0word',
  )
  return createHash('sha256')
    .update(JSON.stringify([ids, base.tokenizer.startId, base.tokenizer.endId, base.tokenizer.padId]))
    .digest('hex')
}

/**
 * The text of a batch: states [N, L, width] of a frozen text encoder, or each caption's rows of ids for one that is
 * trained.
 */
export type BatchText = { context: Values } | { ids: number[][][] }

export type TextSource = (captions: readonly string[]) => Promise<BatchText>

export function cachedText(cache: CaptionCache): TextSource {
  return async (captions) => {
    const states = await Promise.all(captions.map(async (caption) => (await cache.load(caption)).context!))
    return { context: joinFirst(states) }
  }
}

/** For captions that change from step to step. */
export function encodedText(pipe: Pipeline, settings: TextSettings): TextSource {
  return async (captions) => ({ context: (await pipe.encodeText(captions, settings)).context })
}

export function tokenizedText({ base: { tokenizer } }: Pipeline, { maxTokenLength }: TextSettings): TextSource {
  return async (captions) => ({
    ids: captions.map((caption) => trainingRows(tokenizer.encode(caption), tokenizer, maxTokenLength).rows),
  })
}

/** [1, ...] each -> [N, ...] */
export function joinFirst(parts: readonly Values[]): Values {
  const [first] = parts
  const size = first?.data.length ?? 0
  const data = new Float32Array(size * parts.length)
  parts.forEach((part, i) => data.set(part.data, i * size))
  return { data, shape: [parts.length, ...(first?.shape.slice(1) ?? [])] }
}
