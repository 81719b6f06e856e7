/** The public API: what the command line does, a program can do (docs/reference/api.md). */
export { exitCodes, LorikeetError, type ErrorDetails, type ErrorKind } from './base/errors'

export { openDevice, type Device, type DeviceOptions } from './pipeline/device'
export { devices, type DeviceInfo, type MemoryUse, type ProfileEntry } from './native'
export {
  loadPipeline,
  type EncodedText,
  type Pipeline,
  type PredictInput,
  type TextOptions,
} from './pipeline/pipeline'
export type { BaseModel } from './pipeline/base-model'
export type { BasePrecision, StorageReport } from './pipeline/base-precision'
export type { Values } from './pipeline/images'
export type { LoraUse } from './pipeline/runtime'

export { createTrainer, type StepResult, type Trainer } from './train/trainer'
export type { TrainerInput, TrainerOptions } from './recipe/trainer-options'
export type { AutoencodingInput, DenoisingInput, StepInput } from './train/step-input'
export type { TrainingPlan } from './train/plan'
export { readRecipe, readRecipeText, resolveRecipe, type Recipe, type RecipeInput } from './recipe'
export { trainRecipe, type TrainOptions } from './train/loop'
export type { TrainEvent, TrainResult } from './train/events'
export { benchmarkStep, type Benchmark, type BenchmarkOptions } from './train/benchmark'

export { generate, type Generated, type GenerateOptions } from './generate/generate'
export { sample, type SampleInput } from './generate/sample'
export { encodePng, grid, readPngSettings, writePng } from './generate/png'
export { parseSettings, renderSettings, type GenerationSettings, type UsedLora } from './generate/settings'

export { findSampler, samplers, type Sampler, type SamplerOptions, type SamplerRun } from './diffusion/samplers'
export { addNoise, sdSchedule, targetOf, type NoiseSchedule, type Prediction } from './diffusion/schedules'
export { torchGenerator, type TorchGenerator } from './diffusion/torch-rng'

export { inspectFile, type Inspection, type LoraInspection } from './tools/inspect'
export { renderInspection } from './tools/render-inspection'
export { convertBase, type Converted, type ConvertOptions } from './tools/convert'
export { convertLora, type ConvertedLora, type ConvertLoraOptions } from './tools/convert-lora'
export {
  openSafetensors,
  parseSafetensors,
  readTensor,
  readTensorRaw,
  writeSafetensors,
  type SafetensorsFile,
  type TensorData,
  type TensorInfo,
} from './formats/safetensors'
export { parseLoraFile, type LoraFile, type LoraModule } from './formats/lora-file'
export type { FileTensor } from './adapters/adapter'
