/**
 * Learning-rate schedules: a factor on the learning rate for each optimizer update (not each micro-batch of an
 * accumulation). Formulas as in transformers' optimization.py (get_constant/linear/cosine_schedule_with_warmup), which
 * diffusers and sd-scripts use: the warm-up grows from 0, so the very first update of a run with warm-up has rate 0.
 */
import { z } from 'zod'

export interface LrScheduleOptions {
  /** Updates of the whole run. */
  updates: number
  /** Updates over which the rate grows from 0 to its full value. */
  warmupUpdates: number
  /** Waves of the cosine schedule; 0.5 falls once from full to zero. */
  cycles: number
}

export interface LrSchedule {
  readonly name: string
  readonly label: string
  /** The factor behind the warm-up, from `progress` 0 (its end) to 1 (the end of the run). */
  decay(progress: number, options: LrScheduleOptions): number
}

const constant: LrSchedule = { name: 'constant', label: 'constant', decay: () => 1 }

const linear: LrSchedule = { name: 'linear', label: 'linear', decay: (progress) => Math.max(0, 1 - progress) }

const cosine: LrSchedule = {
  name: 'cosine',
  label: 'cosine',
  decay: (progress, { cycles }) => Math.max(0, 0.5 * (1 + Math.cos(Math.PI * cycles * 2 * progress))),
}

export const lrSchedules: readonly LrSchedule[] = [constant, linear, cosine]

/** How a recipe chooses a schedule. */
export const lrScheduleOptions = z.strictObject({
  name: z.enum(['constant', 'linear', 'cosine']).default('constant'),
  warmupUpdates: z.int().nonnegative().default(0),
  cycles: z.number().positive().default(0.5),
})

/** The factor for update `update` (0, 1, ...) of a run. */
export function lrFactor(schedule: LrSchedule, update: number, options: LrScheduleOptions): number {
  const { updates, warmupUpdates } = options
  if (update < warmupUpdates) return update / warmupUpdates
  return schedule.decay((update - warmupUpdates) / Math.max(1, updates - warmupUpdates), options)
}
