import test from 'ava'
import { createGraph, createTensor, input, output, type Graph } from '../../lib/graph/graph'
import { activation } from '../../lib/graph/ops/activation'
import { add } from '../../lib/graph/ops/add'
import { geglu } from '../../lib/graph/ops/geglu'
import { linear } from '../../lib/graph/ops/linear'
import { planMemory } from '../../lib/graph/passes/plan'
import { createProgram } from '../../lib/graph/program'
import { elements } from '../../lib/graph/tensor'
import { verify } from '../../lib/graph/verify'
import { openEngine } from '../../lib/native'
import { relativeL2 } from '../helpers/fixture-tensors'
import { stepGraph } from '../helpers/step-graph'
import { normals } from '../helpers/run-op'
import { examine, type Findings } from './plan-oracle'
import { randomGraph } from './random-graph'
import { evaluate } from './reference'
import { testDevice } from '../helpers/test-device'

function checked(graph: Graph): Findings & { arenaBytes: number; lowerBound: number } {
  verify(graph)
  const plan = planMemory(graph)
  return { ...examine(createProgram(graph, plan)), arenaBytes: plan.arenaBytes, lowerBound: plan.lowerBound }
}

const kib = (count: number) => [count, 256] // f32: so many KiB

test('a chain of pointwise ops runs in place: one tensor beside the input, which is never overwritten', (t) => {
  const graph = createGraph('chain', 'f32')
  let x = input(graph, 'x', kib(1))
  for (let i = 0; i < 5; i++) x = activation(graph, x, 'silu')
  output(graph, 'y', x)
  const { faults, arenaBytes, lowerBound, inPlace } = checked(graph)
  t.deepEqual(faults, [])
  t.is(arenaBytes, 2048)
  t.is(lowerBound, 2048)
  t.is(inPlace, 4)
})

test('a value that is read later is not overwritten', (t) => {
  const graph = createGraph('residual', 'f32')
  const a = activation(graph, input(graph, 'x', kib(1)), 'silu')
  const b = activation(graph, a, 'gelu')
  output(graph, 'y', add(graph, a, b))
  const { faults, arenaBytes, inPlace } = checked(graph)
  t.deepEqual(faults, [])
  t.is(arenaBytes, 2048) // x dies as a is made, and its place serves b
  t.is(inPlace, 1) // the sum, into a
})

test('the sum of a value and itself is not made in its place, and neither is one onto an output', (t) => {
  const graph = createGraph('twice', 'f32')
  const a = activation(graph, input(graph, 'x', kib(1)), 'silu')
  const twice = add(graph, a, a)
  output(graph, 'twice', twice)
  output(graph, 'y', activation(graph, twice, 'silu'))
  const { faults, inPlace } = checked(graph)
  t.deepEqual(faults, [])
  t.is(inPlace, 0)
})

test('bytes are used again as soon as a value is dead, and the peak is where the plan says', (t) => {
  const graph = createGraph('peak', 'f32')
  const small = input(graph, 'x', kib(2))
  const weight = createTensor('w', [1024, 256], 'f32', { space: 'weight', name: 'w' })
  const wide = linear(graph, small, weight, undefined, [], 'wide') // [2, 1024]: 8 KiB
  const half = geglu(graph, wide, 'half') // 4 KiB
  const quarter = geglu(graph, half, 'quarter') // 2 KiB
  output(graph, 'y', add(graph, quarter, small))
  const { faults, arenaBytes } = checked(graph)
  t.deepEqual(faults, [])
  t.is(arenaBytes, (2 + 8 + 4) * 1024)
  const { peak } = planMemory(graph)
  t.is(peak.op, 1)
  t.is(peak.name, 'geglu')
  t.deepEqual(
    peak.alive.map(({ tensor, bytes }) => [tensor.name, bytes / 1024]),
    [
      ['wide', 8],
      ['half', 4],
      ['x', 2],
    ],
  )
})

test('inputs lie apart even when nobody reads them, and an output is still there at the end', (t) => {
  const graph = createGraph('ports', 'f32')
  const x = input(graph, 'x', kib(1))
  input(graph, 'unread', kib(1))
  const early = activation(graph, x, 'silu', 'early')
  output(graph, 'early', early)
  output(graph, 'x again', x)
  let y = activation(graph, x, 'gelu')
  for (let i = 0; i < 4; i++) y = add(graph, activation(graph, y, 'silu'), y)
  output(graph, 'y', y)
  const { faults } = checked(graph)
  t.deepEqual(faults, [])
})

test('the oracle sees what is wrong with a plan', (t) => {
  const graph = createGraph('broken', 'f32')
  const a = activation(graph, input(graph, 'x', kib(1)), 'silu', 'a')
  output(graph, 'y', add(graph, a, activation(graph, a, 'gelu', 'b')))
  const program = createProgram(graph, planMemory(graph))
  const at = (name: string) => program.tensors.findIndex((tensor) => tensor.name === name)
  const moved = (name: string, offset: number) => ({
    ...program,
    tensors: program.tensors.map((tensor, i) => (i === at(name) ? { ...tensor, offset } : tensor)),
  })
  t.deepEqual(examine(program).faults, [])
  const offset = program.tensors[at('a')]!.offset
  t.regex(examine(moved('b', offset)).faults.join(), /a .* and b .* overlap/)
  t.regex(examine(moved('b', offset + 64)).faults.join(), /overlap|outside/)
  t.regex(examine(moved('b', 4096)).faults.join(), /outside/)
})

test('two hundred random graphs are planned without overlap and close to the lower bound', (t) => {
  let worst = 0
  let inPlace = 0
  for (let seed = 1; seed <= 200; seed++) {
    const found = checked(randomGraph(seed, 10 + (seed % 60)))
    t.deepEqual(found.faults, [], `seed ${seed}`)
    t.is(found.end, found.arenaBytes, `seed ${seed}`)
    t.is(found.mostAlive, found.lowerBound, `seed ${seed}`)
    worst = Math.max(worst, found.arenaBytes / found.lowerBound)
    inPlace += found.inPlace
  }
  t.log(`worst arena / lower bound ${worst.toFixed(3)}, ${inPlace} outputs in place`)
  t.true(inPlace > 1000)
})

test('random graphs give the values of double precision on the device, so nothing alive is overwritten', async (t) => {
  const engine = openEngine({ device: testDevice, computeDtype: 'f32', threads: 1 })
  for (let seed = 1; seed <= 40; seed++) {
    const graph = randomGraph(seed, 25)
    const plan = planMemory(graph)
    const given = new Map(
      [...graph.inputs].map(([name, { shape }], i) => [name, Float32Array.from(normals(elements(shape), seed + i))]),
    )
    const handle = engine.compile(createProgram(graph, plan))
    const [found] = await engine.run([{ program: handle, inputs: Object.fromEntries(given) }])
    engine.release(handle)
    const expected = evaluate(graph, (tensor) => Float64Array.from(given.get(tensor.name)!))
    for (const [name, tensor] of graph.outputs) {
      const error = relativeL2(found![name]!, expected.get(tensor) ?? given.get(tensor.name)!)
      t.true(error < 1e-5, `seed ${seed}: ${name} differs by ${error}`)
    }
  }
  engine.close()
})

for (const checkpointing of ['none', 'blocks'] as const) {
  test(`a step of the tiny model is planned without overlap, checkpointing ${checkpointing}`, (t) => {
    const found = checked(
      stepGraph('sd15-tiny', { checkpointing, dtype: 'f32', shape: { batch: 2, height: 8, width: 8, tokens: 77 } })
        .graph,
    )
    t.deepEqual(found.faults, [])
    t.is(found.end, found.arenaBytes)
    t.is(found.mostAlive, found.lowerBound)
  })

  test(`a real step is planned without overlap, within 1% of the lower bound, checkpointing ${checkpointing}`, (t) => {
    const found = checked(
      stepGraph('random:sd15', { checkpointing, dtype: 'bf16', shape: { batch: 1, height: 64, width: 64, tokens: 77 } })
        .graph,
    )
    t.deepEqual(found.faults, [])
    t.is(found.end, found.arenaBytes)
    t.is(found.mostAlive, found.lowerBound)
    const ratio = found.arenaBytes / found.lowerBound
    t.log(`arena ${found.arenaBytes} bytes, lower bound ${found.lowerBound}, ratio ${ratio.toFixed(5)}`)
    t.true(ratio < 1.01)
    t.true(found.inPlace > 50)
  })
}

test('the device takes exactly the planned bytes for its arena, and the largest program counts', (t) => {
  const engine = openEngine({ device: testDevice, computeDtype: 'f32', threads: 1 })
  const plans = [7, 30, 12].map((seed) => {
    const graph = randomGraph(seed, 30)
    const plan = planMemory(graph)
    return { plan, program: createProgram(graph, plan) }
  })
  let largest = 0
  for (const { plan, program } of plans) {
    engine.compile(program)
    largest = Math.max(largest, plan.arenaBytes)
    t.is(engine.memory().arena, largest)
  }
  engine.close()
})
