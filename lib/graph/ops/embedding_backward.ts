/** Adds dy [N, L, C] to the rows of the token and position gradients that the ids chose, in a fixed order. */
import { emit, type Graph } from '../graph'
import { defineOp, required, type Operand } from '../op'
import { elements, type Tensor } from '../tensor'

export const embeddingBackwardOp = defineOp({
  name: 'embedding_backward',
  infer(inputs) {
    required('embedding_backward', inputs, 0, 'dy')
    required('embedding_backward', inputs, 1, 'ids')
    return [undefined, undefined]
  },
  flops: (inputs) => 2 * elements(inputs[0]!.shape),
})

export function embeddingBackward(
  graph: Graph,
  dy: Tensor,
  ids: Tensor,
  { token, position }: { token: Operand; position: Operand },
): void {
  emit(graph, embeddingBackwardOp, [dy, ids], {}, 'embedding.grad', [token, position])
}
