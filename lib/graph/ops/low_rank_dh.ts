/** dh = scale · dy · up: the gradient of an adapter's inner activations h (all ups that share them), scale included. */
import { defineOp, listAttribute, numberAttribute, opError, required } from '../op'
import { elements, rows } from '../tensor'

export const lowRankDhOp = defineOp({
  name: 'low_rank_dh',
  infer(inputs, attributes) {
    const dy = required('low_rank_dh', inputs, 0, 'dy')
    const rank = numberAttribute('low_rank_dh', attributes, 'rank')
    const column = listAttribute('low_rank_dh', attributes, 'up_column')
    const start = listAttribute('low_rank_dh', attributes, 'up_rank')
    inputs.slice(1).forEach((up, u) => {
      const [n = 0, r = 0] = up?.shape ?? []
      if ((column[u] ?? 0) + n > (dy.shape.at(-1) ?? 0) || (start[u] ?? 0) + r > rank)
        throw opError('low_rank_dh', `up ${u} does not fit dy or rank ${rank}`, inputs)
    })
    return [{ shape: [...dy.shape.slice(0, -1), rank], dtype: dy.dtype }]
  },
  flops: (inputs) =>
    inputs.slice(1).reduce((sum, up) => sum + (up && inputs[0] ? 2 * rows(inputs[0]) * elements(up.shape) : 0), 0),
})
