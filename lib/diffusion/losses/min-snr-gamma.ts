/**
 * Hang et al., "Efficient Diffusion Training via Min-SNR Weighting Strategy" (2023): weighs timesteps by
 * min(SNR, gamma) in units of the error in x_0. As a factor on the error in noise that is min(SNR, gamma) / SNR, in v
 * min(SNR, gamma) / (SNR + 1).
 */
import { z } from 'zod'
import { defineWeight } from './loss'

export const minSnrGamma = defineWeight({
  name: 'min_snr_gamma',
  label: 'min-SNR-gamma',
  options: z.strictObject({ gamma: z.number().positive().default(5) }),
  predictions: ['epsilon', 'v_prediction'],
  weights: ({ snr }, prediction, { gamma }) =>
    snr.map((ratio) => Math.min(ratio, gamma) / (prediction === 'epsilon' ? ratio : ratio + 1)),
})
