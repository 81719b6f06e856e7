/**
 * Seeded random graphs over a few cheap ops: residual sums, reuse, dead values, in-place chains, inputs that are
 * outputs.
 */
import { createGraph, input, output, type Graph } from '../../lib/graph/graph'
import { activation, activationKinds } from '../../lib/graph/ops/activation'
import { add } from '../../lib/graph/ops/add'
import { concat } from '../../lib/graph/ops/concat'
import { geglu } from '../../lib/graph/ops/geglu'
import { reshape } from '../../lib/graph/ops/reshape'
import { slice } from '../../lib/graph/ops/slice'
import { columns, elements, rows, type Tensor } from '../../lib/graph/tensor'

/** Whole numbers below `limit`, the same for the same seed (mulberry32). */
export function randomIntegers(seed: number): (limit: number) => number {
  let state = seed
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0
    let z = Math.imul(state ^ (state >>> 15), 1 | state)
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z
    return Math.floor((((z ^ (z >>> 14)) >>> 0) / 4294967296) * limit)
  }
}

export function randomGraph(seed: number, count: number): Graph {
  const below = randomIntegers(seed)
  const graph = createGraph(`random ${seed}`, 'f32')
  const inputs = Array.from({ length: 1 + below(3) }, (_, i) =>
    input(graph, `input ${i}`, [1 + below(3), 2 * (1 + below(20))]),
  )
  const values = [...inputs]
  // Mostly recent values, as in a network; sometimes an old one, as a skip connection.
  const pick = () => values[Math.max(0, values.length - 1 - (below(3) === 0 ? below(values.length) : below(3)))]!
  const like = (x: Tensor) => values.filter((v) => v.shape.join() === x.shape.join())
  for (let i = 0; i < count; i++) {
    const x = pick()
    const others = like(x)
    values.push(oneOf(graph, x, others[below(others.length)]!, below))
  }
  values.forEach((value, i) => {
    if (below(10) === 0 || i === values.length - 1) output(graph, `output ${i}`, value)
  })
  return graph
}

function oneOf(graph: Graph, x: Tensor, other: Tensor, below: (limit: number) => number): Tensor {
  const width = columns(x)
  switch (below(6)) {
    case 0:
      return activation(graph, x, activationKinds[below(activationKinds.length)]!)
    case 1:
      return slice(graph, x, below(width), 1)
    case 2:
      return width % 2 === 0 ? geglu(graph, x) : reshape(graph, x, [1, elements(x.shape)])
    case 3:
      return width < 100 && rows(x) === rows(other) ? concat(graph, x, other) : activation(graph, x, 'silu')
    default:
      return add(graph, x, other)
  }
}
