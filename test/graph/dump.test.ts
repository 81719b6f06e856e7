import test from 'ava'
import { createGraph, createTensor, inBlock, input, output, type Graph } from '../../lib/graph/graph'
import { dumpGraph } from '../../lib/graph/dump'
import { activation } from '../../lib/graph/ops/activation'
import { add } from '../../lib/graph/ops/add'
import { linear } from '../../lib/graph/ops/linear'
import { loss } from '../../lib/graph/ops/loss'
import { createParameterSet, parameter } from '../../lib/graph/parameters'
import { autodiff } from '../../lib/graph/passes/autodiff'
import { checkpoint } from '../../lib/graph/passes/checkpointing'
import { planMemory } from '../../lib/graph/passes/plan'
import { matchesGolden } from '../helpers/golden'

/** Two residual layers with a low-rank adapter each, differentiated. */
function sample(): Graph {
  const graph = createGraph('two layers', 'bf16')
  const set = createParameterSet('bf16')
  let x = input(graph, 'x', [2, 16, 32], 'bf16')
  for (const name of ['first', 'second'])
    x = inBlock(graph, name, () => {
      const trained = (suffix: string, shape: number[]) =>
        parameter(set, `${name}.${suffix}`, shape, { group: 'unet', init: { kind: 'zeros' } })
      const w = createTensor(`${name}.weight`, [32, 32], 'bf16', { space: 'weight', name: `unet/${name}.weight` })
      const ups = [{ up: trained('up', [32, 4]), column: 0, rank: 0 }]
      const active = activation(graph, x, 'silu', `${name}.silu`)
      return add(
        graph,
        x,
        linear(graph, active, w, undefined, [{ down: trained('down', [4, 32]), ups, scale: 0.5 }], name),
        `${name}.sum`,
      )
    })
  const { total } = loss(
    graph,
    { pred: x, target: input(graph, 'target', [2, 16, 32]), weight: input(graph, 'weight', [2]) },
    'l2',
  )
  output(graph, 'loss', total)
  return autodiff(graph, [{ loss: total, scale: 1 }]).graph
}

test('a differentiated graph reads as in the golden file', (t) => {
  matchesGolden(t, 'two-layers.graph.txt', dumpGraph(sample()))
})

test('with a plan, every tensor is followed by its offset; recomputed ops stand in backward', (t) => {
  const graph = checkpoint(sample(), () => 'recompute')
  matchesGolden(t, 'two-layers.planned.txt', dumpGraph(graph, planMemory(graph)))
})
