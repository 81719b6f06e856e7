/** Mean absolute error: |d|. */
import { z } from 'zod'
import { defineLoss } from './loss'

export const l1 = defineLoss({ name: 'l1', label: 'mean absolute error', options: z.strictObject({}) })
