/** f32 <-> bf16, to nearest even. */
import { emit, emitOne, type Graph } from '../graph'
import { defineOp, required } from '../op'
import type { ComputeDType, Tensor } from '../tensor'

export const castOp = defineOp({
  name: 'cast',
  infer(inputs, attributes) {
    const x = required('cast', inputs, 0, 'x')
    return [{ shape: x.shape, dtype: attributes.dtype === 'bf16' ? 'bf16' : 'f32' }]
  },
  gradient({ graph, operation, dOutputs: [dy] }) {
    const from = operation.inputs[0]!.dtype
    return dy && from !== 'i32' ? [cast(graph, dy, from)] : []
  },
})

/** x itself when it has the dtype already. */
export function cast(graph: Graph, x: Tensor, dtype: ComputeDType): Tensor {
  return x.dtype === dtype ? x : emitOne(graph, castOp, [x], { dtype }, x.name)
}

/** Copies a whole buffer into another of the same length and another dtype (params into their bf16 shadow). */
export function castInto(graph: Graph, x: Tensor, into: Tensor): void {
  emit(graph, castOp, [x], { dtype: into.dtype }, into.name, [into])
}
