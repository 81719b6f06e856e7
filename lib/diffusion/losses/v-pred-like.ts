/**
 * Adds a share of a loss that looks like that of v prediction to noise prediction: 1 + share / (s / (s + 1)),
 * s = min(SNR, 1000) (sd-scripts).
 */
import { z } from 'zod'
import { defineWeight } from './loss'
import { vScale } from './scale-v'

export const vPredLike = defineWeight({
  name: 'v_pred_like',
  label: 'v-prediction-like loss',
  options: z.strictObject({ share: z.number().positive() }),
  predictions: ['epsilon'],
  weights: (schedule, _prediction, { share }) => vScale(schedule).map((scale) => 1 + share / scale),
})
