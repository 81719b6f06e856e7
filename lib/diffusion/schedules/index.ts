/** The noise schedules by the names that diffusers' scheduler configurations use. */
import { linear } from './linear'
import { scaledLinear } from './scaled-linear'
import { type NoiseSchedule, scheduleOf } from './schedule'

export * from './schedule'

export const scheduleKinds = [scaledLinear, linear] as const

/** Stable Diffusion's schedule. */
export function sdSchedule({ zeroTerminalSnr = false } = {}): NoiseSchedule {
  return scheduleOf(scaledLinear.betas(scaledLinear.options.parse({})), zeroTerminalSnr)
}
