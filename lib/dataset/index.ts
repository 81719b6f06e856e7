/** Datasets: from a folder of images to batches. What the trainer and the command line use; no code here. */

export { planBatches } from './batches'
export type { Batch, BatchItem, BatchOptions, BatchPlan } from './batches'
export { bucketRule, bucketSizes, formatSize } from './buckets'
export type { Placement } from './buckets'
export type { CacheEntry, CachedTensor } from './cache'
export { captionVariants, processCaption } from './captions'
export type { Caption, CaptionOptions } from './captions'
export { prepareDataset, settingsOf } from './dataset'
export type { Bucket, Dataset, DatasetImage, PrepareOptions } from './dataset'
export { cacheCaptions, cacheLatents, trainedCaptions } from './encode'
export type {
  CaptionCache,
  CaptionEncoder,
  EncodedCaption,
  EncodedLatents,
  EncodeOptions,
  LatentCache,
  LatentEncoder,
} from './encode'
export { decodeForBucket, inspectImage } from './images'
export type { DecodeRequest, ImageInfo, ImageTrait } from './images'
export { bucketLimits, datasetSchema, resolutionOf, subsetSchema, subsetsOf } from './options'
export type { DatasetInput, DatasetOptions, Size, SubsetOptions } from './options'
export { renderLength, renderReport } from './render'
export { reportDataset, runLength } from './report'
export type { DatasetReport, ReportOptions, RunLength } from './report'
export { scanDataset } from './scan'
export type { DatasetFolder, Skipped, SkipReason } from './scan'
