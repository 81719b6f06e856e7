/** What a run tells while it goes; the command line renders it, programs may do what they like. */
import type { DatasetReport } from '../dataset'
import type { NetworkName } from '../models/scope'
import type { StorageReport } from '../pipeline/base-precision'
import type { SampleRecord, StepRecord } from './logs'
import type { MemoryReport } from './report'

export type TrainEvent =
  /** Before anything is loaded: what will be trained, and what was skipped or shortened. */
  | { kind: 'report'; dataset: DatasetReport; memory: MemoryReport }
  | {
      kind: 'progress'
      task: 'pictures' | 'weights' | 'latents' | 'captions' | 'sample'
      done: number
      total: number
      name?: string
    }
  /** A network's matrices were stored in fewer bits; told once for each. */
  | { kind: 'stored'; network: NetworkName; report: StorageReport }
  | { kind: 'note'; text: string }
  | { kind: 'resumed'; file: string; step: number; steps: number }
  | { kind: 'step'; record: StepRecord; steps: number }
  | { kind: 'sample'; record: SampleRecord }
  /** `lora` is undefined for a checkpoint alone. */
  | { kind: 'saved'; lora: string | undefined; checkpoint: string; step: number }

export type OnEvent = (event: TrainEvent) => void

export interface TrainResult {
  /** `interrupted`: the signal came, and the checkpoint to go on from is written. */
  outcome: 'done' | 'interrupted'
  /** The LoRA, when done. */
  file: string | undefined
  /** Steps done, of how many. */
  step: number
  steps: number
}
