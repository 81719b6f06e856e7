/**
 * Long captions in the graph: the states of several rows of 77 tokens become one sentence, as sd-scripts joins them (library/
 * strategy_sd.py): the first row's start, positions 1 to 75 of each row, the last row's last. The same selection as
 * `trainingJoin` of lib/text/chunks.ts, as ops.
 */
import type { Graph } from '../graph/graph'
import { concat } from '../graph/ops/concat'
import { reshape } from '../graph/ops/reshape'
import { slice } from '../graph/ops/slice'
import type { Tensor } from '../graph/tensor'

/** states [batch * rows, L, C] -> [batch, rows * (L - 2) + 2, C] */
export function joinChunks(graph: Graph, states: Tensor, rows: number): Tensor {
  if (rows === 1) return states
  const [count = 0, length = 0, width = 0] = states.shape
  const batch = count / rows
  const flat = reshape(graph, states, [batch, rows * length * width])
  const positions = (from: number, many: number) => slice(graph, flat, from * width, many * width)
  let joined = positions(0, length - 1)
  for (let row = 1; row < rows - 1; row++) joined = concat(graph, joined, positions(row * length + 1, length - 2))
  joined = concat(graph, joined, positions((rows - 1) * length + 1, length - 1))
  return reshape(graph, joined, [batch, rows * (length - 2) + 2, width])
}
