/** The schedule of Stable Diffusion 1.x, 2.x and SDXL: sqrt(beta) grows linearly (diffusers' "scaled_linear"). */
import { z } from 'zod'
import { defineSchedule } from './schedule'

export const scaledLinear = defineSchedule({
  name: 'scaled_linear',
  label: 'scaled linear',
  options: z.strictObject({
    betaStart: z.number().positive().lt(1).default(0.00085),
    betaEnd: z.number().positive().lt(1).default(0.012),
    steps: z.int().min(2).default(1000),
  }),
  betas: ({ betaStart, betaEnd, steps }) => {
    const first = Math.sqrt(betaStart)
    const last = Math.sqrt(betaEnd)
    return Float64Array.from({ length: steps }, (_, t) => (first + (last - first) * t / (steps - 1)) ** 2)
  },
})
