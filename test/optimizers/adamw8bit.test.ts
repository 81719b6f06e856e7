import test from 'ava'
import { createGraph, input } from '../../lib/graph/graph'
import { createParameterSet, parameter, type ParameterSet } from '../../lib/graph/parameters'
import { bytesOf } from '../../lib/graph/tensor'
import { verify } from '../../lib/graph/verify'
import { optimizerOf, optimizerOptions, optimizers, type OptimizerOptions } from '../../lib/optimizers'

function setOf(sizes: Record<string, number[]>): ParameterSet {
  const set = createParameterSet('f32')
  for (const [name, shape] of Object.entries(sizes))
    parameter(set, name, shape, { group: name.slice(0, 1), init: { kind: 'zeros' } })
  return set
}

function build(set: ParameterSet, options: OptimizerOptions) {
  const kind = optimizerOf(options)
  const graph = createGraph('update', set.dtype)
  const groups = ['a', 'b']
  const [norm, scalars] = [input(graph, 'norm', [1]), input(graph, 'scalars', [kind.scalarCount(groups.length)])]
  kind.update(graph, set, { norm, scalars }, options, { groups, maxGradNorm: 1 })
  verify(graph)
  return { ops: graph.ops, state: kind.state(set, options) }
}

const adamw8bit = (more = {}) => optimizerOptions.parse({ kind: 'adamw8bit', ...more })

test('each optimizer is found by its own options, and AdamW without a name', (t) => {
  for (const kind of optimizers) t.is(optimizerOf(optimizerOptions.parse({ kind: kind.name })).name, kind.name)
  t.is(optimizerOf(optimizerOptions.parse({ eps: 1e-6 })).name, 'adamw')
  t.throws(() => optimizerOptions.parse({ min_8bit_size: 0 }), { message: /min_8bit_size/ })
})

test('small parameters keep their state in f32, the others in blocks of their own', (t) => {
  const set = setOf({ a1: [64, 64], a2: [4095], b1: [65, 100], b2: [3] })
  const { ops, state } = build(set, adamw8bit())
  t.deepEqual(ops.map((op) => op.definition.name), ['adamw_8bit', 'adamw'])
  t.like(ops[0]!.attributes, { start: [0, 8192], count: [4096, 6500], group: [0, 1] })
  t.like(ops[1]!.attributes, { start: [4096, 14704], state: [0, 4095], count: [4095, 3], group: [0, 1] })
  t.deepEqual(
    state.map(({ name, dtype, shape }) => [name, dtype, ...shape]),
    [
      ['m_codes', 'i32', 16 + 26, 64],
      ['v_codes', 'i32', 16 + 26, 64],
      ['m_scale', 'f32', 16 + 26],
      ['v_scale', 'f32', 16 + 26],
      ['m', 'f32', 4098],
      ['v', 'f32', 4098],
    ],
  )
})

test('there are no buffers, and no op, for what there is none of', (t) => {
  const set = setOf({ a1: [64, 64], b1: [10] })
  const names = (options: OptimizerOptions) => {
    const { ops, state } = build(set, options)
    return [ops.map((op) => op.definition.name), state.map(({ name }) => name)]
  }
  t.deepEqual(names(adamw8bit({ min_8bit_size: 0 })), [['adamw_8bit'], ['m_codes', 'v_codes', 'm_scale', 'v_scale']])
  t.deepEqual(names(adamw8bit({ min_8bit_size: 4097 })), [['adamw'], ['m', 'v']])
})

test('8 bits take about a quarter of the memory', (t) => {
  const set = setOf({ a1: [640, 320], b1: [320] })
  const bytes = (options: OptimizerOptions) =>
    optimizerOf(options).state(set, options).reduce((sum, state) => sum + bytesOf(state), 0)
  t.is(bytes(optimizerOptions.parse({})), (640 * 320 + 320) * 8)
  t.is(bytes(adamw8bit()), 640 * 320 * 2 + 800 * 8 + 320 * 8)
})
