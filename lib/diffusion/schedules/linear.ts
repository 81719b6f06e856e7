/** The schedule of the DDPM paper: beta grows linearly (diffusers' "linear"). */
import { z } from 'zod'
import { defineSchedule } from './schedule'

export const linear = defineSchedule({
  name: 'linear',
  label: 'linear',
  options: z.strictObject({
    betaStart: z.number().positive().lt(1).default(0.0001),
    betaEnd: z.number().positive().lt(1).default(0.02),
    steps: z.int().min(2).default(1000),
  }),
  betas: ({ betaStart, betaEnd, steps }) =>
    Float64Array.from({ length: steps }, (_, t) => betaStart + (betaEnd - betaStart) * t / (steps - 1)),
})
