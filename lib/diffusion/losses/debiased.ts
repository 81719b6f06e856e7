/**
 * Debiased estimation (Yu et al., "Debias the Training of Diffusion Models", 2023), as sd-scripts has it: 1 / sqrt(SNR)
 * for noise, 1 / (SNR + 1) for v; SNR at most 1000. (OneTrainer takes 1 / sqrt(SNR + 1) for v.)
 */
import { z } from 'zod'
import { defineWeight } from './loss'

export const debiased = defineWeight({
  name: 'debiased',
  label: 'debiased estimation',
  options: z.strictObject({}),
  predictions: ['epsilon', 'v_prediction'],
  weights: ({ snr }, prediction) => snr.map((ratio) => {
    const limited = Math.min(ratio, 1000)
    return prediction === 'epsilon' ? 1 / Math.sqrt(limited) : 1 / (limited + 1)
  }),
})
