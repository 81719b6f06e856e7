import test from 'ava'
import { createGraph, createTensor, inBlock, input, type Graph, type Operation } from '../../lib/graph/graph'
import { activation } from '../../lib/graph/ops/activation'
import { add } from '../../lib/graph/ops/add'
import { layerNorm } from '../../lib/graph/ops/layer_norm'
import { linear } from '../../lib/graph/ops/linear'
import { loss } from '../../lib/graph/ops/loss'
import { createParameterSet, parameter } from '../../lib/graph/parameters'
import { autodiff } from '../../lib/graph/passes/autodiff'
import { blocksOf, checkpoint } from '../../lib/graph/passes/checkpointing'
import { planMemory } from '../../lib/graph/passes/plan'
import { createProgram } from '../../lib/graph/program'
import { bytesOf, type Tensor } from '../../lib/graph/tensor'
import { verify } from '../../lib/graph/verify'
import { openDevice } from '../../lib/pipeline/device'
import { loadPipeline } from '../../lib/pipeline/pipeline'
import { createTrainer } from '../../lib/train/trainer'
import { fixturePath } from '../helpers/fixture-tensors'
import { stepGraph } from '../helpers/step-graph'
import { batch, readCase, trainerInput } from '../helpers/trainer-cases'
import { examine } from './plan-oracle'
import { testDevice } from '../helpers/test-device'

/** Residual blocks x + silu(norm(x)) · wᵀ, each named, ending in a loss; differentiated. */
function residualNetwork(count: number): Graph {
  const graph = createGraph('residual', 'f32')
  const set = createParameterSet('f32')
  const trained = (name: string, shape: number[]) =>
    parameter(set, name, shape, { group: 'unet', init: { kind: 'zeros' } })
  const frozen = (name: string) => createTensor(name, [64], 'f32', { space: 'weight', name })
  let x: Tensor = input(graph, 'x', [8, 64])
  for (let i = 0; i < count; i++)
    x = inBlock(graph, `block ${i}`, () => {
      const normed = layerNorm(graph, x, frozen('gamma'), frozen('beta'), 1e-5, `${i}.norm`)
      const active = activation(graph, normed, 'silu', `${i}.silu`)
      return add(graph, x, linear(graph, active, trained(`${i}.w`, [64, 64]), undefined, [], `${i}.linear`), `${i}.sum`)
    })
  const total = loss(
    graph,
    { pred: x, target: input(graph, 'target', [8, 64]), weight: input(graph, 'weight', [8]) },
    'l2',
  ).total
  return autodiff(graph, [{ loss: total, scale: 1 }]).graph
}

/** Ops of the backward phase that are copies of forward ops: they share their attributes. */
function recomputed(graph: Graph): Operation[] {
  const forward = new Set(graph.ops.filter((op) => op.phase === 'forward').map((op) => op.attributes))
  const known = new Set(graph.ops.filter((op) => op.phase === 'forward').map((op) => op.definition))
  return graph.ops.filter((op) => op.phase === 'backward' && known.has(op.definition) && forward.has(op.attributes))
}

const label = (op: Operation) => op.outputs[0]?.name ?? ''

test('a block runs again only as far as backward needs it: not the product and not the sum', (t) => {
  const graph = residualNetwork(2)
  t.deepEqual(recomputed(graph), [])
  const result = checkpoint(graph, (block) => (block === 'block 0' ? 'recompute' : 'keep'))
  verify(result)
  t.deepEqual(recomputed(result).map(label), ['0.norm#0', '0.silu'])
  t.true(recomputed(result).every((op) => op.block === 'block 0'))
})

test('the recomputation stands right before its first use, so that its values live shortly', (t) => {
  const result = checkpoint(residualNetwork(3), () => 'recompute')
  verify(result)
  const firstUse = (tensor: Tensor) => result.ops.findIndex((op) => op.inputs.includes(tensor))
  for (const i of [0, 1, 2]) {
    const copies = recomputed(result).filter((op) => op.block === `block ${i}`)
    t.deepEqual(copies.map(label), [`${i}.norm#0`, `${i}.silu`])
    const last = result.ops.indexOf(copies[1]!)
    t.is(result.ops.indexOf(copies[0]!), last - 1)
    t.is(firstUse(copies[1]!.outputs[0]!), last + 1)
  }
})

test('what forward reads elsewhere is kept, not made again', (t) => {
  const graph = createGraph('boundary', 'f32')
  const w = parameter(createParameterSet('f32'), 'w', [4, 4], { group: 'unet', init: { kind: 'zeros' } })
  const x = input(graph, 'x', [2, 4])
  const inner = inBlock(graph, 'a', () => activation(graph, linear(graph, x, w, undefined, [], 'h'), 'silu', 'inner'))
  const outer = activation(graph, inner, 'gelu', 'outer')
  const total = loss(
    graph,
    { pred: outer, target: input(graph, 'target', [2, 4]), weight: input(graph, 'weight', [2]) },
    'l2',
  ).total
  const result = checkpoint(autodiff(graph, [{ loss: total, scale: 1 }]).graph, () => 'recompute')
  verify(result)
  t.deepEqual(recomputed(result).map(label), ['h']) // for silu's gradient; `inner` lives on for gelu's
})

test('keeping every block, or recomputing one that backward does not need, changes nothing', (t) => {
  const graph = residualNetwork(2)
  t.deepEqual(blocksOf(graph), ['block 0', 'block 1'])
  t.deepEqual(checkpoint(graph, () => 'keep').ops, graph.ops)
  const forwardOnly = { ...graph, ops: graph.ops.filter((op) => op.phase === 'forward') }
  t.deepEqual(checkpoint(forwardOnly, () => 'recompute').ops, forwardOnly.ops)
})

test('the graph that goes in stays as it was', (t) => {
  const graph = residualNetwork(2)
  const before = graph.ops.map((op) => ({ ...op, inputs: [...op.inputs] }))
  checkpoint(graph, () => 'recompute')
  t.deepEqual(graph.ops, before)
})

test('a by-product that backward needs is kept when it is small, instead of the whole op running again', (t) => {
  const build = (rank: number) => {
    const graph = createGraph('adapter', 'f32')
    const set = createParameterSet('f32')
    const trained = (name: string, shape: number[]) =>
      parameter(set, name, shape, { group: 'unet', init: { kind: 'zeros' } })
    const w = createTensor('w', [64, 64], 'f32', { space: 'weight', name: 'w' })
    const x = input(graph, 'x', [8, 64])
    const y = inBlock(graph, 'a', () => {
      const ups = [{ up: trained('up', [64, rank]), column: 0, rank: 0 }]
      return add(
        graph,
        x,
        linear(
          graph,
          activation(graph, x, 'silu', 's'),
          w,
          undefined,
          [{ down: trained('down', [rank, 64]), ups, scale: 1 }],
          'y',
        ),
      )
    })
    const total = loss(
      graph,
      { pred: y, target: input(graph, 'target', [8, 64]), weight: input(graph, 'weight', [8]) },
      'l2',
    ).total
    const result = checkpoint(autodiff(graph, [{ loss: total, scale: 1 }]).graph, () => 'recompute')
    verify(result)
    return recomputed(result).map(label)
  }
  t.deepEqual(build(32), ['s']) // h [8, 32] is half of y: kept
  t.deepEqual(build(33), ['s', 'y#0'])
})

test('in a real step no op runs more than twice, none in vain; backward reads only by-products of first runs', (t) => {
  const shape = { batch: 1, height: 64, width: 64, tokens: 77 }
  const { graph } = stepGraph('random:sd15', { checkpointing: 'blocks', dtype: 'bf16', shape })
  const copies = recomputed(graph)
  t.is(new Set(copies.map((op) => op.attributes)).size, copies.length)
  t.true(copies.length > 200)
  const read = new Set(graph.ops.flatMap((op) => op.inputs))
  const idle = copies.filter((op) => !op.outputs[0] || !read.has(op.outputs[0]))
  t.deepEqual(idle.map(label), [])

  const forward = graph.ops.filter((op) => op.phase === 'forward')
  const maker = new Map(
    forward.flatMap((op) => op.outputs.map((output, i) => [output, { block: op.block, byProduct: i > 0 }] as const)),
  )
  const shared = new Set(forward.flatMap((op) => op.inputs.filter((operand) => maker.get(operand)?.block !== op.block)))
  const inner = graph.ops
    .filter((op) => op.phase === 'backward')
    .flatMap((op) =>
      op.inputs.filter((operand) => operand && maker.get(operand)?.block !== undefined && !shared.has(operand)),
    )
  t.deepEqual(
    inner.filter((tensor) => !maker.get(tensor)!.byProduct).map((tensor) => tensor!.name),
    [],
  )
  const keptBytes = [...new Set(inner)].reduce((sum, tensor) => sum + bytesOf(tensor!), 0)
  t.log(`by-products kept: ${keptBytes} bytes`)
  t.true(keptBytes < 1.5e6)
})

test('recomputing more blocks lowers the planned peak, block by block', (t) => {
  const graph = residualNetwork(12)
  const peaks = [0, 4, 8, 12].map((count) => {
    const result = checkpoint(graph, (block) => (Number(block.split(' ')[1]) < count ? 'recompute' : 'keep'))
    verify(result)
    const plan = planMemory(result)
    t.deepEqual(examine(createProgram(result, plan)).faults, [])
    return plan.arenaBytes
  })
  for (let i = 1; i < peaks.length; i++) t.true(peaks[i]! < peaks[i - 1]!, peaks.join(', '))
})

test('training with checkpointing takes the planned, smaller arena and gives the same bits', async (t) => {
  const { params, init } = readCase('base')
  const steps = [batch(0, false), batch(1, false)]
  const [n, , height, width] = steps[0]!.latents.shape as [number, number, number, number]
  const shape = { batch: n, height, width, tokens: steps[0]!.context!.shape[1]! }
  const train = async (checkpointing: 'none' | 'blocks') => {
    const pipe = await loadPipeline(fixturePath('sd15-tiny', 'model'), {
      device: openDevice(testDevice, { computeDtype: 'f32', threads: 1 }),
    })
    const trainer = await createTrainer(pipe, { ...trainerInput(params), checkpointing })
    await trainer.load(fixturePath('sd15-tiny', 'lora', init))
    const results = []
    for (const step of steps) results.push({ ...(await trainer.step(step)), gradients: trainer.gradients() })
    const arena = pipe.runtime.engine.memory().arena
    const plan = trainer.plan([shape])
    pipe.close()
    return { results, arena, plan }
  }
  const kept = await train('none')
  const again = await train('blocks')
  t.is(kept.arena, kept.plan.arena)
  t.is(again.arena, again.plan.arena)
  t.true(again.arena < 0.5 * kept.arena, `${again.arena} of ${kept.arena} bytes`)
  for (const i of [0, 1]) {
    t.is(again.results[i]!.loss, kept.results[i]!.loss)
    t.is(again.results[i]!.gradNorm, kept.results[i]!.gradNorm)
    t.deepEqual(again.results[i]!.gradients, kept.results[i]!.gradients)
  }
})
