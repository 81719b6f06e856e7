/** Token plus position embedding: ids [N, L] i32, token [V, C], position [P, C] -> [N, L, C]. L must not exceed P. */
import { emitOne, type Graph } from '../graph'
import { checkDType, defineOp, opError, required } from '../op'
import { columns, type Tensor } from '../tensor'
import { embeddingBackward } from './embedding_backward'

export const embeddingOp = defineOp({
  name: 'embedding',
  infer(inputs) {
    const ids = required('embedding', inputs, 0, 'ids')
    const token = required('embedding', inputs, 1, 'token')
    const position = required('embedding', inputs, 2, 'position')
    checkDType('embedding', ids, 'i32', 'ids')
    if (columns(token) !== columns(position) || (ids.shape[1] ?? 0) > (position.shape[0] ?? 0))
      throw opError('embedding', 'token and position tables do not fit the ids', [ids, token, position])
    return [{ shape: [...ids.shape, columns(token)], dtype: token.dtype }]
  },
  gradient({ graph, operation, dOutputs: [dy], accumulator }) {
    const token = accumulator(1)
    const position = accumulator(2)
    if (dy && (token || position)) embeddingBackward(graph, dy, operation.inputs[0]!, { token, position })
    return []
  },
})

export function embedding(graph: Graph, ids: Tensor, token: Tensor, position: Tensor, name = 'embedding'): Tensor {
  return emitOne(graph, embeddingOp, [ids, token, position], {}, name)
}
