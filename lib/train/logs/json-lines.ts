/**
 * `log.jsonl`: one object a line, for scripts. Lines of steps have `step`, `loss` and so on; those of samples have
 * `sample`.
 */
import { closeSync, existsSync, openSync, readFileSync, writeSync } from 'node:fs'
import { basename, join } from 'node:path'
import { writeFileAtomic } from '../../base/atomic-file'
import type { LogOptions, LogSink } from './sink'

export function openJsonLines({ folder, from }: LogOptions): LogSink {
  const file = join(folder, 'log.jsonl')
  dropAfter(file, from)
  const fd = openSync(file, 'a')
  const line = (record: object) => void writeSync(fd, `${JSON.stringify(record)}\n`)
  return {
    step: ({ step, epoch, loss, averageLoss, gradNorm, learningRates, ms, images, skipped }) =>
      line({
        step,
        epoch,
        loss,
        average_loss: averageLoss,
        grad_norm: gradNorm,
        learning_rates: learningRates,
        ms: Math.round(ms),
        images_per_second: Number(((images / ms) * 1000).toPrecision(4)),
        ...(skipped && { skipped }),
      }),
    sample: ({ step, file: image }) => line({ step, sample: `samples/${basename(image)}` }),
    close: () => closeSync(fd),
  }
}

/** Steps that are about to be done again are taken out; a line that a kill cut off, too. */
function dropAfter(file: string, step: number): void {
  if (!existsSync(file)) return
  const kept = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => {
      const at = stepOf(line)
      return at !== undefined && at <= step
    })
  writeFileAtomic(file, kept.map((line) => `${line}\n`).join(''))
}

function stepOf(line: string): number | undefined {
  try {
    const record: unknown = JSON.parse(line)
    const step = typeof record === 'object' && record !== null && 'step' in record ? record.step : undefined
    return typeof step === 'number' ? step : undefined
  } catch {
    return undefined
  }
}
