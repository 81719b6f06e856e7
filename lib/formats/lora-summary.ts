/** What a LoRA file's metadata says, from kohya's tools, ai-toolkit, OneTrainer and Lorikeet alike. */
import { familyOfMetadata, type LoraFamily } from './lora-family'

export interface LoraSummary {
  title?: string
  /** As written, `sd_v1` (kohya) or `sd_1.5` (ai-toolkit). */
  baseVersion?: string
  family?: LoraFamily
  /** File name of the base that it was trained on. */
  baseName?: string
  networkModule?: string
  networkArgs?: string
  rank?: number
  alpha?: number
  steps?: number
  epoch?: number
  images?: number
  resolution?: string
  clipSkip?: number
  predictionType?: 'epsilon' | 'v_prediction'
  /** Of the base's weights while it was trained, where they were kept in fewer bits: `nf4`. */
  basePrecision?: string
  /** The author's own trigger words, from modelspec. */
  triggerPhrase?: string
  /** Tags by falling count, over all folders. */
  tags: { tag: string; count: number }[]
}

/** Never throws: metadata is free text, and what cannot be read is left out. */
export function summariseMetadata(metadata: Readonly<Record<string, string>>): LoraSummary {
  const text = (...keys: string[]) => keys.map(key => metadata[key]).find(value => value && value !== 'None')
  const number = (...keys: string[]) => {
    const value = text(...keys)
    return value !== undefined && value.trim() !== '' && Number.isFinite(Number(value)) ? Number(value) : undefined
  }
  const training = json(metadata.training_info) // ai-toolkit: {"step": n, "epoch": n}
  const prediction = text('modelspec.prediction_type')
  return {
    title: text('modelspec.title', 'ss_output_name', 'name'),
    baseVersion: text('ss_base_model_version'),
    family: familyOfMetadata(metadata)?.family,
    baseName: text('ss_sd_model_name'),
    networkModule: text('ss_network_module'),
    networkArgs: text('ss_network_args'),
    rank: number('ss_network_dim'),
    alpha: number('ss_network_alpha'),
    steps: number('ss_steps') ?? positive(training?.step),
    epoch: number('ss_epoch') ?? positive(training?.epoch),
    images: number('ss_num_train_images'),
    resolution: text('modelspec.resolution', 'ss_resolution'),
    clipSkip: number('ss_clip_skip', 'modelspec.encoder_layer'),
    predictionType: prediction === undefined ? undefined : /^v/.test(prediction) ? 'v_prediction' : 'epsilon',
    basePrecision: text('ss_base_precision') ?? (metadata.ss_fp8_base === 'True' ? 'fp8' : undefined),
    triggerPhrase: text('modelspec.trigger_phrase'),
    tags: countTags(json(metadata.ss_tag_frequency)),
  }
}

function countTags(frequency: Record<string, unknown> | undefined): LoraSummary['tags'] {
  const counts = new Map<string, number>()
  for (const tags of Object.values(frequency ?? {})) {
    if (typeof tags !== 'object' || tags === null) continue
    for (const [raw, count] of Object.entries(tags)) {
      const tag = raw.trim()
      if (tag && typeof count === 'number') counts.set(tag, (counts.get(tag) ?? 0) + count)
    }
  }
  return [...counts].map(([tag, count]) => ({ tag, count })).sort((a, b) => b.count - a.count)
}

function json(value: string | undefined): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = value === undefined ? undefined : JSON.parse(value)
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

function positive(value: unknown): number | undefined {
  return typeof value === 'number' && value >= 0 ? value : undefined
}
