/**
 * Metadata of LoRA files, all of it strings: `ss_*` as kohya's sd-scripts writes it (train_network.py:1004-1223), which
 * UIs show and use to suggest trigger words, and `modelspec.*` of Stability's model specification 1.0.1.
 */
import * as path from 'node:path'
import { pythonBool, pythonFloat } from './python-text'

type Values = {
  text: string
  int: number
  float: number
  bool: boolean
  json: unknown
  /** A file or folder, of which only the name is kept: paths tell about the person's machine. */
  name: string
}

/** Option, metadata key and type. Options left out are not written; `null` is written as None. */
const fields = [
  ['sessionId', 'ss_session_id', 'int'],
  ['startedAt', 'ss_training_started_at', 'float'],
  ['finishedAt', 'ss_training_finished_at', 'float'],
  ['outputName', 'ss_output_name', 'name'],
  ['comment', 'ss_training_comment', 'text'],
  ['learningRate', 'ss_learning_rate', 'float'],
  ['unetLearningRate', 'ss_unet_lr', 'float'],
  ['textEncoderLearningRate', 'ss_text_encoder_lr', 'float'],
  ['images', 'ss_num_train_images', 'int'],
  ['regularisationImages', 'ss_num_reg_images', 'int'],
  ['batchesPerEpoch', 'ss_num_batches_per_epoch', 'int'],
  ['epochs', 'ss_num_epochs', 'int'],
  ['epoch', 'ss_epoch', 'int'],
  ['maxSteps', 'ss_max_train_steps', 'int'],
  ['steps', 'ss_steps', 'int'],
  ['gradientCheckpointing', 'ss_gradient_checkpointing', 'bool'],
  ['gradientAccumulationSteps', 'ss_gradient_accumulation_steps', 'int'],
  ['cacheLatents', 'ss_cache_latents', 'bool'],
  ['mixedPrecision', 'ss_mixed_precision', 'text'],
  ['fp8Base', 'ss_fp8_base', 'bool'],
  ['basePrecision', 'ss_base_precision', 'text'], // ours: sd-scripts knows fp8 only
  ['scheduler', 'ss_lr_scheduler', 'text'],
  ['warmupSteps', 'ss_lr_warmup_steps', 'int'],
  ['optimizer', 'ss_optimizer', 'text'],
  ['maxGradNorm', 'ss_max_grad_norm', 'float'],
  ['networkModule', 'ss_network_module', 'text'],
  ['rank', 'ss_network_dim', 'int'],
  ['alpha', 'ss_network_alpha', 'float'],
  ['networkDropout', 'ss_network_dropout', 'float'],
  ['networkArgs', 'ss_network_args', 'json'],
  ['clipSkip', 'ss_clip_skip', 'int'],
  ['maxTokenLength', 'ss_max_token_length', 'int'],
  ['seed', 'ss_seed', 'int'],
  ['noiseOffset', 'ss_noise_offset', 'float'],
  ['zeroTerminalSnr', 'ss_zero_terminal_snr', 'bool'],
  ['minSnrGamma', 'ss_min_snr_gamma', 'float'],
  ['lossType', 'ss_loss_type', 'text'],
  ['huberSchedule', 'ss_huber_schedule', 'text'],
  ['huberC', 'ss_huber_c', 'float'],
  ['captionDropout', 'ss_caption_dropout_rate', 'float'],
  ['tagDropout', 'ss_caption_tag_dropout_rate', 'float'],
  ['shuffleCaption', 'ss_shuffle_caption', 'bool'],
  ['keepTokens', 'ss_keep_tokens', 'int'],
  ['flip', 'ss_flip_aug', 'bool'],
  ['batchSize', 'ss_batch_size_per_device', 'int'],
  ['totalBatchSize', 'ss_total_batch_size', 'int'],
  ['buckets', 'ss_enable_bucket', 'bool'],
  ['bucketNoUpscale', 'ss_bucket_no_upscale', 'bool'],
  ['minBucketSize', 'ss_min_bucket_reso', 'int'],
  ['maxBucketSize', 'ss_max_bucket_reso', 'int'],
  ['bucketInfo', 'ss_bucket_info', 'json'],
  ['baseName', 'ss_sd_model_name', 'name'],
  ['baseHash', 'ss_new_sd_model_hash', 'text'],
  ['vaeName', 'ss_vae_name', 'name'],
] as const satisfies readonly (readonly [string, `ss_${string}`, keyof Values])[]

type FieldOptions = { [F in (typeof fields)[number] as F[0]]?: Values[F[2]] | null }

export interface LoraMetadataOptions extends FieldOptions {
  predictionType: 'epsilon' | 'v_prediction'
  /** Pixels; one number means a square. */
  resolution: number | [width: number, height: number]
  /** How often each tag was seen, by folder. Folders are reduced to their names. */
  tagFrequency?: Record<string, Record<string, number>>
  /** Repeats and images by folder. */
  datasetFolders?: Record<string, { repeats: number; images: number }>
  /** Whole metadata in bytes of JSON; rare tags are left out above it. Default 1 MiB. */
  maxBytes?: number
  title?: string
  author?: string
  description?: string
  license?: string
  tags?: string
  triggerPhrase?: string
  /** Version of Lorikeet. */
  softwareVersion?: string
}

/**
 * The metadata of a Stable Diffusion 1.x LoRA, without the hashes (see `modelHashes`). Same options, same result: times
 * come from the options.
 */
export function buildLoraMetadata(options: LoraMetadataOptions): Record<string, string> {
  const [width, height] =
    typeof options.resolution === 'number' ? [options.resolution, options.resolution] : options.resolution
  const metadata: Record<string, string> = {
    ss_base_model_version: 'sd_v1',
    ss_v2: 'False',
    ss_resolution: `(${width}, ${height})`,
    ss_network_module: 'networks.lora',
    ss_network_args: '{}',
    'modelspec.sai_model_spec': '1.0.1',
    'modelspec.architecture': 'stable-diffusion-v1/lora',
    'modelspec.implementation': 'diffusers',
    'modelspec.title': options.title ?? baseName(options.outputName ?? 'lora'),
    'modelspec.resolution': `${width}x${height}`,
    'modelspec.prediction_type': options.predictionType === 'epsilon' ? 'epsilon' : 'v',
  }
  for (const [option, key, type] of fields) {
    const value = options[option]
    if (value !== undefined) metadata[key] = value === null ? 'None' : render(type, value)
  }
  addOptional(metadata, options)
  if (options.datasetFolders) {
    const entries = Object.entries(options.datasetFolders).map(([folder, { repeats, images }]) => [
      baseName(folder),
      { n_repeats: repeats, img_count: images },
    ])
    metadata.ss_dataset_dirs = JSON.stringify(Object.fromEntries(entries))
  }
  if (options.tagFrequency) {
    const room = (options.maxBytes ?? 2 ** 20) - jsonBytes(metadata)
    metadata.ss_tag_frequency = JSON.stringify(capTags(byFolderName(options.tagFrequency), room))
  }
  return metadata
}

function addOptional(metadata: Record<string, string>, options: LoraMetadataOptions): void {
  const optional = {
    author: options.author,
    description: options.description,
    license: options.license,
    tags: options.tags,
    trigger_phrase: options.triggerPhrase,
    implementation_version: options.softwareVersion && `lorikeet ${options.softwareVersion}`,
    date: typeof options.finishedAt === 'number' ? isoSeconds(options.finishedAt) : undefined,
    encoder_layer: typeof options.clipSkip === 'number' ? String(options.clipSkip) : undefined,
  }
  for (const [key, value] of Object.entries(optional)) if (value) metadata[`modelspec.${key}`] = value
}

function render(type: keyof Values, value: unknown): string {
  switch (type) {
    case 'float':
      return pythonFloat(Number(value))
    case 'bool':
      return pythonBool(Boolean(value))
    case 'json':
      return JSON.stringify(value)
    case 'name':
      return baseName(String(value))
    default:
      return String(value)
  }
}

/** 1700000000.5 -> "2023-11-14T22:13:20". */
function isoSeconds(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toISOString().slice(0, 19)
}

/** The last part of a path written on any system. */
function baseName(file: string): string {
  return path.win32.basename(file)
}

type TagFrequency = Record<string, Record<string, number>>

/** Folders of the same name are counted together. */
function byFolderName(frequency: TagFrequency): TagFrequency {
  const folders = new Map<string, Map<string, number>>()
  for (const [folder, tags] of Object.entries(frequency)) {
    const name = baseName(folder)
    const counts = folders.get(name) ?? new Map<string, number>()
    for (const [tag, count] of Object.entries(tags)) counts.set(tag, (counts.get(tag) ?? 0) + count)
    folders.set(name, counts)
  }
  return Object.fromEntries([...folders].map(([name, counts]) => [name, Object.fromEntries(counts)]))
}

/** Keeps the most frequent tags whose JSON, as a string inside the header's JSON, stays below `maxBytes`. */
function capTags(frequency: TagFrequency, maxBytes: number): TagFrequency {
  const all = Object.entries(frequency).flatMap(([folder, tags]) =>
    Object.entries(tags).map(([tag, count]) => ({ folder, tag, count })),
  )
  all.sort((a, b) => b.count - a.count)
  const kept = new Map(Object.keys(frequency).map(folder => [folder, new Map<string, number>()]))
  let room = maxBytes - jsonBytes(JSON.stringify(Object.fromEntries([...kept.keys()].map(folder => [folder, {}]))))
  for (const { folder, tag, count } of all) {
    room -= jsonBytes(`${JSON.stringify(tag)}:${count},`) - 2 // the quotes around the whole are counted above
    if (room < 0) break
    kept.get(folder)?.set(tag, count)
  }
  return Object.fromEntries([...kept].map(([folder, tags]) => [folder, Object.fromEntries(tags)]))
}

function jsonBytes(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value))
}
