/** What the LoRA file says about itself. Same run, same text: times apart, which SOURCE_DATE_EPOCH can fix. */
import { createHash } from 'node:crypto'
import { resolutionOf, type BatchPlan, type Dataset, type RunLength } from '../dataset'
import { buildLoraMetadata } from '../formats/lora-metadata'
import { packageVersion } from '../native-loader'
import type { BaseModel } from '../pipeline/base-model'
import type { Device } from '../pipeline/device'
import type { Recipe } from '../recipe'
import { warmupSteps } from './from-recipe'

export interface MetadataSource {
  recipe: Recipe
  dataset: Dataset
  plan: BatchPlan
  length: RunLength
  base: BaseModel
  device: Pick<Device, 'computeDtype'>
  /** Unix time in seconds. */
  startedAt: number
}

/** Seconds; SOURCE_DATE_EPOCH (reproducible-builds.org) makes files the same from run to run. */
export function nowSeconds(): number {
  const fixed = Number(process.env.SOURCE_DATE_EPOCH)
  return process.env.SOURCE_DATE_EPOCH && Number.isFinite(fixed) ? fixed : Date.now() / 1000
}

/** @param step steps done */
export function runMetadata(source: MetadataSource, step: number): Record<string, string> {
  const { recipe, dataset, plan, length, base, device, startedAt } = source
  const { train, output, adapter, optimizer, loss } = recipe
  const { width, height } = resolutionOf(dataset.options)
  const isLora = adapter.kind === 'lora'
  const isHuber = loss.kind === 'huber' || loss.kind === 'smooth_l1'
  return buildLoraMetadata({
    sessionId: sessionId(recipe, dataset),
    startedAt,
    finishedAt: nowSeconds(),
    outputName: output.name,
    comment: output.comment,
    learningRate: train.unet_lr || train.text_encoder_lr || train.vae_lr,
    unetLearningRate: train.unet_lr > 0 ? train.unet_lr : null,
    textEncoderLearningRate: train.text_encoder_lr > 0 ? train.text_encoder_lr : null,
    images: plan.imagesPerEpoch,
    regularisationImages: 0,
    batchesPerEpoch: plan.batchesPerEpoch,
    epochs: Math.ceil(length.epochs),
    epoch: Math.ceil(step / plan.stepsPerEpoch),
    maxSteps: length.steps,
    steps: step,
    gradientCheckpointing: train.checkpointing === 'blocks',
    gradientAccumulationSteps: train.gradient_accumulation,
    cacheLatents: train.vae_lr === 0,
    mixedPrecision: device.computeDtype === 'bf16' ? 'bf16' : 'no',
    fp8Base: recipe.base_precision === 'fp8',
    basePrecision: recipe.base_precision === 'full' ? undefined : recipe.base_precision,
    scheduler: recipe.lr_schedule.kind,
    warmupSteps: warmupSteps(recipe, length.steps),
    optimizer: `${optimizer.kind}(betas=${JSON.stringify(optimizer.betas)},eps=${optimizer.eps},weight_decay=${optimizer.weight_decay})`,
    maxGradNorm: train.max_grad_norm,
    rank: isLora ? adapter.rank : null,
    alpha: isLora ? (adapter.alpha ?? adapter.rank) : null,
    networkArgs:
      isLora && adapter.conv_rank !== undefined
        ? { conv_dim: adapter.conv_rank, conv_alpha: adapter.conv_alpha ?? adapter.conv_rank }
        : {},
    clipSkip: train.clip_skip > 1 ? train.clip_skip : null,
    maxTokenLength: train.max_token_length === 75 ? null : train.max_token_length,
    seed: train.seed,
    noiseOffset: train.noise_offset?.strength ?? null,
    zeroTerminalSnr: base.zeroTerminalSnr,
    minSnrGamma: loss.min_snr_gamma ?? null,
    lossType: loss.kind === 'mse' ? 'l2' : loss.kind,
    ...(isHuber && { huberSchedule: loss.schedule, huberC: loss.c }),
    captionDropout: dataset.options.caption_dropout_rate,
    tagDropout: dataset.options.caption_tag_dropout_rate,
    shuffleCaption: dataset.options.shuffle_caption,
    keepTokens: dataset.options.keep_tokens,
    flip: dataset.options.flip_aug,
    batchSize: dataset.options.batch_size,
    totalBatchSize: dataset.options.batch_size * train.gradient_accumulation,
    buckets: dataset.options.enable_bucket,
    bucketNoUpscale: dataset.options.bucket_no_upscale,
    bucketInfo: bucketInfo(dataset),
    baseName: base.location.replace(/[\\/]+$/, ''),
    predictionType: train.prediction_type ?? base.predictionType,
    resolution: [width, height],
    datasetFolders: folders(dataset),
    ...(output.tag_frequency && { tagFrequency: tagFrequency(dataset) }),
    title: output.title,
    author: output.author,
    description: output.description,
    license: output.license,
    tags: output.tags,
    triggerPhrase: output.trigger_phrase ?? triggerWords(dataset),
    softwareVersion: packageVersion(),
  })
}

/** Groups the files of one run; a resumed run has the same. */
function sessionId({ output, adapter, train, optimizer, loss }: Recipe, dataset: Dataset): number {
  const what = [output.name, adapter, train, optimizer, loss, dataset.fingerprint]
  const hash = createHash('sha256').update(JSON.stringify(what)).digest()
  return hash.readUInt32BE(0)
}

function bucketInfo({ buckets }: Dataset): unknown {
  const entries = buckets.map(({ size, count }, i) => [String(i), { resolution: [size.width, size.height], count }])
  return { buckets: Object.fromEntries(entries) }
}

function folders(dataset: Dataset): Record<string, { repeats: number; images: number }> {
  return Object.fromEntries(
    dataset.folders.map(({ name, repeats }, f) => [
      name,
      { repeats, images: dataset.images.filter(({ folder }) => folder === f).length },
    ]),
  )
}

/** How often each tag stands in the captions of a folder, repeats not counted, as sd-scripts counts. */
function tagFrequency(dataset: Dataset): Record<string, Record<string, number>> {
  const result: Record<string, Record<string, number>> = {}
  dataset.folders.forEach(({ name, options }, f) => {
    const counts = new Map<string, number>()
    const captions = dataset.images.filter(({ folder }) => folder === f).map(({ caption }) => caption.text)
    for (const tag of captions.flatMap((text) => text.split(options.caption_separator)).map((tag) => tag.trim()))
      if (tag) counts.set(tag, (counts.get(tag) ?? 0) + 1)
    result[name] = Object.fromEntries(counts)
  })
  return result
}

function triggerWords({ folders: all }: Dataset): string | undefined {
  const words = [
    ...new Set(
      all.map(({ options }) => options.trigger_word ?? options.class_tokens).filter((word) => word !== undefined),
    ),
  ]
  return words.length > 0 ? words.join(', ') : undefined
}
