/**
 * The pseudo-Huber loss, 2c (sqrt(d^2 + c^2) - c): close to d^2 for |d| far below c, to 2c|d| far above it, so single
 * large errors count less. c may depend on the timestep (sd-scripts, get_huber_threshold_if_needed).
 */
import { z } from 'zod'
import type { NoiseSchedule } from '../schedules'
import { defineLoss } from './loss'

export const huberOptions = z.strictObject({
  /** The c at the noisiest timestep (snr, exponential), or everywhere (constant). */
  c: z.number().positive().default(0.1),
  /** Times c; without effect on the schedule "snr", as in sd-scripts. */
  scale: z.number().positive().default(1),
  schedule: z.enum(['snr', 'exponential', 'constant']).default('snr'),
})

export type HuberOptions = z.infer<typeof huberOptions>

export const huber = defineLoss({
  name: 'huber',
  label: 'pseudo-Huber',
  options: huberOptions,
  c: huberC,
})

/** c by timestep. */
export function huberC({ steps, snr }: NoiseSchedule, { c, scale, schedule }: HuberOptions): Float64Array {
  switch (schedule) {
    case 'snr': return snr.map((ratio) => (1 - c) / (1 + Math.sqrt(1 / ratio)) ** 2 + c) // sigma = sqrt(1 / SNR)
    case 'exponential': return Float64Array.from({ length: steps }, (_, t) => c ** (t / steps) * scale)
    case 'constant': return new Float64Array(steps).fill(c * scale)
  }
}
