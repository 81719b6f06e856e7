import test from 'ava'
import { LorikeetError } from '../../lib/base/errors'
import { createGraph, createTensor, input, output } from '../../lib/graph/graph'
import { layerNorm } from '../../lib/graph/ops/layer_norm'
import { linear } from '../../lib/graph/ops/linear'
import { sumRows } from '../../lib/graph/ops/sum_rows'
import { createParameterSet, parameter } from '../../lib/graph/parameters'
import { planMemory } from '../../lib/graph/passes/plan'
import { createProgram, formatVersion, type Program } from '../../lib/graph/program'
import { openEngine } from '../../lib/native'
import { testDevice } from '../helpers/test-device'

const inArena = { space: 'arena' } as const

function sample(dtype: 'f32' | 'bf16') {
  const graph = createGraph('sample', dtype)
  const set = createParameterSet(dtype)
  parameter(set, 'before', [3], { group: 'unet', init: { kind: 'zeros' } })
  const w = parameter(set, 'w', [5, 4], { group: 'unet', init: { kind: 'zeros' } })
  const bias = parameter(set, 'bias', [5], { group: 'unet', init: { kind: 'zeros' }, precision: 'f32' })
  const weight = (name: string) => createTensor(name, [5], 'f32', { space: 'weight', name: `unet/${name}` })
  const h = linear(graph, input(graph, 'x', [3, 4], dtype), w, bias, [], 'h')
  const y = layerNorm(graph, h, weight('gamma'), weight('beta'), 1e-5, 'y')
  sumRows(graph, y, 1, createTensor('d bias', [5], 'f32', { space: 'buffer', name: 'grads', offset: 192 }))
  output(graph, 'y', y)
  return { graph, plan: planMemory(graph) }
}

test('instructions follow the ops, absent operands are -1, attributes travel as they are', (t) => {
  const { graph, plan } = sample('f32')
  const program = createProgram(graph, plan)
  t.is(program.version, formatVersion)
  t.is(program.label, 'sample')
  t.is(program.arenaBytes, plan.arenaBytes)
  const name = (i: number) => program.tensors[i]!.name
  t.deepEqual(
    program.instructions.map(({ op }) => op),
    ['linear', 'layer_norm', 'sum_rows'],
  )
  t.deepEqual(program.instructions[0]!.inputs.map(name), ['x', 'params', 'params'])
  t.deepEqual(program.instructions[0]!.attributes, {
    adapters: 0,
    up_adapter: [],
    up_column: [],
    up_rank: [],
    scale: [],
  })
  t.deepEqual(program.instructions[1]!.outputs.map(name), ['y#0', 'y#1'])
  t.deepEqual(program.instructions[2]!.attributes, { groups: 1 })
  const bare = createGraph('bare', 'f32')
  const w = createTensor('w', [5, 4], 'f32', { space: 'weight', name: 'w' })
  output(bare, 'y', linear(bare, input(bare, 'x', [3, 4]), w, undefined))
  t.deepEqual(createProgram(bare, planMemory(bare)).instructions[0]!.inputs, [0, 1, -1])
})

test('tensors are listed once each, with the place of their bytes', (t) => {
  const { graph, plan } = sample('bf16')
  const { tensors, inputs, outputs, instructions } = createProgram(graph, plan)
  const [x, w, bias] = instructions[0]!.inputs.map((i) => tensors[i]!)
  const planned = (name: string) => [...plan.tensors.values()].find(({ tensor }) => tensor.name === name)!.offset
  t.deepEqual(x, { dtype: 'bf16', shape: [3, 4], ...inArena, offset: planned('x'), name: 'x' })
  // 16 elements in, behind the padded first parameter; matrices are read from the bf16 shadow, vectors as masters.
  t.deepEqual(w, { dtype: 'bf16', shape: [5, 4], space: 'buffer', offset: 16 * 2, name: 'shadow' })
  t.deepEqual(bias, { dtype: 'f32', shape: [5], space: 'buffer', offset: (16 + 32) * 4, name: 'params' })
  const gamma = tensors[instructions[1]!.inputs[1]!]
  t.deepEqual(gamma, { dtype: 'f32', shape: [5], space: 'weight', offset: 0, name: 'unet/gamma' })
  const grads = tensors[instructions[2]!.outputs[0]!]
  t.deepEqual(grads, { dtype: 'f32', shape: [5], space: 'buffer', offset: 192, name: 'grads' })
  t.deepEqual(inputs, [{ name: 'x', tensor: instructions[0]!.inputs[0]! }])
  t.deepEqual(outputs, [{ name: 'y', tensor: instructions[1]!.outputs[0]! }])
  t.is(instructions[1]!.inputs[0], instructions[0]!.outputs[0])
})

test('a program survives JSON, so it can be written to a file', (t) => {
  const { graph, plan } = sample('f32')
  const program = createProgram(graph, plan)
  t.deepEqual(JSON.parse(JSON.stringify(program)), program)
})

test('a plan of another graph is refused with the tensor that has no place', (t) => {
  const error = t.throws(() => createProgram(sample('f32').graph, sample('f32').plan), { instanceOf: LorikeetError })
  t.regex(error!.message, /tensor x: has no place in the memory plan/)
})

test('the device refuses a program of another version, and one whose tensors leave the arena', (t) => {
  const engine = openEngine({ device: testDevice, computeDtype: 'f32', threads: 1 })
  const graph = createGraph('empty', 'f32')
  output(graph, 'x', input(graph, 'x', [2]))
  const program: Program = createProgram(graph, planMemory(graph))
  t.notThrows(() => engine.compile(program))
  t.throws(() => engine.compile({ ...program, version: formatVersion + 1 }), { message: /version/ })
  t.throws(() => engine.compile({ ...program, arenaBytes: 4 }), { message: /arena/ })
  engine.close()
})
