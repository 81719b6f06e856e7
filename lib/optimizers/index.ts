/** The optimizers, by their names in a recipe. Adding one is a file here and a line in each of the two lists. */
import { z } from 'zod'
import { adamw, adamwOptions } from './adamw'
import { adamw8bit, adamw8bitOptions } from './adamw8bit'
import type { OptimizerKind } from './optimizer'

/** How a recipe chooses one, AdamW unless it says so. */
export const optimizerOptions = z.discriminatedUnion('kind', [adamwOptions, adamw8bitOptions])

export type OptimizerOptions = z.output<typeof optimizerOptions>

export const optimizers = [adamw, adamw8bit] as const

/** The kind that belongs to the options. */
export function optimizerOf({ kind }: OptimizerOptions): OptimizerKind<OptimizerOptions> {
  return optimizers.find(({ name }) => name === kind) as OptimizerKind<never> as OptimizerKind<OptimizerOptions>
}
