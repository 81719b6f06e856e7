/** What is recorded of a run, and what a place to record it is. */

/** One step. */
export interface StepRecord {
  /** Steps done, this one included. */
  step: number
  /** Counted from 1. */
  epoch: number
  loss: number
  /** Mean of the last steps. */
  averageLoss: number
  gradNorm: number
  /** Learning rate of each trained network. */
  learningRates: Record<string, number>
  ms: number
  images: number
  /** Nothing was updated, as loss or gradients were not finite. */
  skipped: boolean
}

/** A picture drawn during training. */
export interface SampleRecord {
  step: number
  /** E.g. "samples/0". */
  tag: string
  file: string
  png: Uint8Array
  width: number
  height: number
}

export interface LogSink {
  step(record: StepRecord): void
  sample(record: SampleRecord): void
  close(): void
}

export interface LogOptions {
  /** The run's folder. */
  folder: string
  /** The step that the run goes on from; what was recorded after it is dropped. 0 for a new run. */
  from: number
}

/**
 * A sink that never stops a run: its first failure is told, and nothing more is written to it.
 * @param open called at once
 */
export function guarded(name: string, open: () => LogSink, onProblem: (message: string) => void): LogSink {
  let sink: LogSink | undefined
  const attempt = (action: () => void) => {
    try {
      action()
    } catch (error) {
      sink = undefined
      onProblem(`${name} is no longer written: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  attempt(() => (sink = open()))
  return {
    step: (record) => attempt(() => sink?.step(record)),
    sample: (record) => attempt(() => sink?.sample(record)),
    close: () => attempt(() => sink?.close()),
  }
}
