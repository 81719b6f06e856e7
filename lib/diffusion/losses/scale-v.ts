/** Scales the loss of v prediction like that of noise prediction: s / (s + 1), s = min(SNR, 1000) (sd-scripts). */
import { z } from 'zod'
import type { NoiseSchedule } from '../schedules'
import { defineWeight } from './loss'

export const scaleV = defineWeight({
  name: 'scale_v',
  label: 'scale v like noise',
  options: z.strictObject({}),
  predictions: ['v_prediction'],
  weights: vScale,
})

/** s / (s + 1) by timestep. */
export function vScale({ snr }: NoiseSchedule): Float64Array {
  return snr.map((ratio) => {
    const limited = Math.min(ratio, 1000)
    return limited / (limited + 1)
  })
}
