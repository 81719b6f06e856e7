/** What an optimizer kind is: its options, its state, and the ops of one update over the flat arena. */
import type { z } from 'zod'
import type { Graph } from '../graph/graph'
import type { ParameterSet, StateBuffer } from '../graph/parameters'
import type { Tensor } from '../graph/tensor'

export interface UpdateOptions {
  /** Learning-rate groups; the order of their rates in the scalars. */
  groups: readonly string[]
  /** Clip the norm of all gradients together to this; 0 never clips. */
  maxGradNorm: number
}

export interface OptimizerKind<Options extends { kind: string } = { kind: string }> {
  /** What a recipe calls it. */
  name: Options['kind']
  options: z.ZodType<Options>
  /** The state, zero at the start. Depends on the parameters, so ask when the layout is complete. */
  state(set: ParameterSet, options: Options): StateBuffer[]
  /** Length of the scalars input. */
  scalarCount(groups: number): number
  /**
   * What changes from update to update.
   * @param update 1 for the first
   * @param rates learning rate of each group
   */
  scalars(options: Options, update: number, rates: readonly number[]): Float32Array
  /** Adds the ops of one update; `norm` is the norm of all gradients, and nothing may change when it is not finite. */
  update(graph: Graph, set: ParameterSet, tensors: { norm: Tensor; scalars: Tensor }, options: Options, how: UpdateOptions): void
}
