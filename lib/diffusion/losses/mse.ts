/** Mean squared error: d^2 (sd-scripts' "l2"). */
import { z } from 'zod'
import { defineLoss } from './loss'

export const mse = defineLoss({ name: 'mse', label: 'mean squared error', options: z.strictObject({}) })
