/**
 * The places where a run is recorded. Adding one is a file here, a switch in the recipe's `logs`, and one line below.
 */
import type { Recipe } from '../../recipe'
import { openJsonLines } from './json-lines'
import { guarded, type LogOptions, type LogSink } from './sink'
import { openTensorBoard } from './tensorboard'

export type * from './sink'

const sinks = [
  ['json_lines', openJsonLines],
  ['tensorboard', openTensorBoard],
] as const satisfies readonly (readonly [keyof Recipe['logs'], (options: LogOptions) => LogSink])[]

/** One sink that writes to all that the recipe wants. */
export function openLogs(logs: Recipe['logs'], options: LogOptions, onProblem: (message: string) => void): LogSink {
  const open = sinks
    .filter(([name]) => logs[name])
    .map(([name, opener]) => guarded(name, () => opener(options), onProblem))
  return {
    step: (record) => open.forEach((sink) => sink.step(record)),
    sample: (record) => open.forEach((sink) => sink.sample(record)),
    close: () => open.forEach((sink) => sink.close()),
  }
}
