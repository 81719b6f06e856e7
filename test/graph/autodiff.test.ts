import test from 'ava'
import { LorikeetError } from '../../lib/base/errors'
import { createGraph, createTensor, emit, input, type Graph } from '../../lib/graph/graph'
import { defineOp } from '../../lib/graph/op'
import { activation } from '../../lib/graph/ops/activation'
import { add } from '../../lib/graph/ops/add'
import { linear } from '../../lib/graph/ops/linear'
import { loss } from '../../lib/graph/ops/loss'
import { mix } from '../../lib/graph/ops/mix'
import { createParameterSet, parameter, type ParameterSet } from '../../lib/graph/parameters'
import { autodiff } from '../../lib/graph/passes/autodiff'
import type { Tensor } from '../../lib/graph/tensor'
import { verify } from '../../lib/graph/verify'

interface Fixture {
  graph: Graph
  set: ParameterSet
  frozen(name: string, shape: number[]): Tensor
  trained(name: string, shape: number[]): Tensor
  /** A squared error against an input. */
  finish(pred: Tensor): Tensor
}

function start(): Fixture {
  const graph = createGraph('test', 'f32')
  const set = createParameterSet('f32')
  return {
    graph,
    set,
    frozen: (name, shape) => createTensor(name, shape, 'f32', { space: 'weight', name }),
    trained: (name, shape) => parameter(set, name, shape, { group: 'unet', init: { kind: 'zeros' } }),
    finish(pred) {
      const target = input(graph, `target of ${pred.name}`, pred.shape)
      const weight = input(graph, `weight of ${pred.name}`, [pred.shape[0]!])
      return loss(graph, { pred, target, weight }, 'l2').total
    },
  }
}

const backward = (graph: Graph) => graph.ops.filter((op) => op.phase === 'backward')
const names = (graph: Graph) => backward(graph).map((op) => op.definition.name)

/** "grads+128" of every gradient that accumulates. */
const accumulated = (graph: Graph) =>
  backward(graph).flatMap(({ outputs }) =>
    outputs.flatMap((made) =>
      made?.storage.space === 'buffer' ? [`${made.storage.name}+${made.storage.offset}`] : [],
    ),
  )

test('frozen weights get no gradient, and nothing is computed below the first trainable layer', (t) => {
  const f = start()
  const x = activation(
    f.graph,
    linear(f.graph, input(f.graph, 'x', [2, 4]), f.frozen('w0', [4, 4]), f.frozen('b0', [4])),
    'silu',
  )
  const up = f.trained('up', [4, 2])
  const down = f.trained('down', [2, 4])
  const adapted = linear(f.graph, x, f.frozen('w1', [4, 4]), undefined, [
    { down, ups: [{ up, column: 0, rank: 0 }], scale: 1 },
  ])
  const y = linear(f.graph, activation(f.graph, adapted, 'silu'), f.frozen('w2', [3, 4]), f.frozen('b2', [3]))
  const { graph } = autodiff(f.graph, [{ loss: f.finish(y), scale: 1 }])
  verify(graph)
  t.deepEqual(names(graph), [
    'loss_backward',
    'linear_input_grad', // w2
    'activation_backward',
    'linear_weight_grad', // up
    'low_rank_dh',
    'linear_weight_grad', // down; x itself wants nothing
  ])
  t.deepEqual(accumulated(graph), ['grads+0', 'grads+64'])
})

test('without anything trainable there is no backward at all', (t) => {
  const f = start()
  const total = f.finish(linear(f.graph, input(f.graph, 'x', [2, 4]), f.frozen('w', [3, 4]), undefined))
  t.deepEqual(names(autodiff(f.graph, [{ loss: total, scale: 1 }]).graph), [])
})

test('a branch that leads to no loss gets no gradient', (t) => {
  const f = start()
  const x = input(f.graph, 'x', [2, 4])
  const total = f.finish(linear(f.graph, x, f.trained('used', [3, 4]), undefined))
  activation(f.graph, linear(f.graph, x, f.trained('unused', [3, 4]), undefined), 'silu')
  const { graph } = autodiff(f.graph, [{ loss: total, scale: 1 }])
  t.deepEqual(accumulated(graph), ['grads+0'])
})

test('the forward graph stays as it was', (t) => {
  const f = start()
  const total = f.finish(linear(f.graph, input(f.graph, 'x', [2, 4]), f.trained('w', [3, 4]), undefined))
  const before = [...f.graph.ops]
  const { graph } = autodiff(f.graph, [{ loss: total, scale: 1 }])
  t.deepEqual(f.graph.ops, before)
  t.deepEqual(graph.ops.slice(0, before.length), before)
  t.is(f.graph.phase, 'forward')
})

test('a parameter used twice accumulates twice in the same place', (t) => {
  const f = start()
  const x = input(f.graph, 'x', [2, 4])
  const again = () => f.trained('w', [4, 4])
  const total = f.finish(linear(f.graph, linear(f.graph, x, again(), undefined), again(), undefined))
  const { graph } = autodiff(f.graph, [{ loss: total, scale: 1 }])
  verify(graph)
  t.deepEqual(accumulated(graph), ['grads+0', 'grads+0'])
  t.is(f.set.elements, 16)
})

test('the gradients of a value that is read several times are added up', (t) => {
  const f = start()
  const w = f.trained('w', [4, 4])
  const h = linear(f.graph, input(f.graph, 'x', [2, 4]), w, undefined)
  const total = f.finish(add(f.graph, activation(f.graph, h, 'silu'), activation(f.graph, h, 'gelu')))
  const { graph } = autodiff(f.graph, [{ loss: total, scale: 1 }])
  t.deepEqual(names(graph), [
    'loss_backward',
    'activation_backward',
    'activation_backward',
    'add',
    'linear_weight_grad',
  ])
})

test('several losses are weighed each by its own scale', (t) => {
  const f = start()
  const h = linear(f.graph, input(f.graph, 'x', [2, 4]), f.trained('w', [4, 4]), undefined)
  const [first, second] = [f.finish(h), f.finish(activation(f.graph, h, 'silu'))]
  const { graph } = autodiff(f.graph, [
    { loss: first, scale: 0.25 },
    { loss: second, scale: 3 },
  ])
  const scales = backward(graph)
    .filter((op) => op.definition.name === 'loss_backward')
    .map((op) => op.attributes.scale)
  t.deepEqual(scales, [3, 0.25])
})

test('gradients of inputs and activations are given on request', (t) => {
  const f = start()
  const x = input(f.graph, 'x', [2, 4])
  const unrelated = input(f.graph, 'unrelated', [2, 4])
  const h = linear(f.graph, x, f.frozen('w', [4, 4]), undefined)
  const total = f.finish(activation(f.graph, h, 'silu'))
  const { graph, gradients } = autodiff(f.graph, [{ loss: total, scale: 1 }], [x, h, unrelated])
  verify(graph)
  t.deepEqual([...gradients.keys()], [x, h])
  for (const [tensor, gradient] of gradients) t.deepEqual(gradient.shape, tensor.shape)
})

const message = (body: () => void, t: import('ava').ExecutionContext) =>
  t.throws(body, { instanceOf: LorikeetError })?.message ?? ''

test('a gradient that would have to flow through an op without a rule is an error that names the op', (t) => {
  const f = start()
  const h = linear(f.graph, input(f.graph, 'x', [2, 4]), f.trained('w', [4, 4]), undefined)
  const one = input(f.graph, 'one', [2])
  const total = f.finish(mix(f.graph, { a: h, b: input(f.graph, 'b', [2, 4]), ca: one, cb: one }))
  t.regex(
    message(() => autodiff(f.graph, [{ loss: total, scale: 1 }]), t),
    /op mix: has no gradient rule/,
  )
})

test('a trainable parameter where its gradient cannot accumulate is an error, instead of never learning', (t) => {
  const f = start()
  const total = f.finish(add(f.graph, input(f.graph, 'x', [2, 4]), f.trained('offset', [2, 4])))
  t.regex(
    message(() => autodiff(f.graph, [{ loss: total, scale: 1 }]), t),
    /op add: cannot take a trainable parameter as input 1 \(offset/,
  )
})

test('a rule that leaves out a gradient, or gives one of another size, is an error that names op and input', (t) => {
  const faulty = (gradient: NonNullable<ReturnType<typeof defineOp>['gradient']>) => {
    const f = start()
    const h = linear(f.graph, input(f.graph, 'x', [2, 4]), f.trained('w', [4, 4]), undefined)
    const op = defineOp({ name: 'faulty', infer: () => [{ shape: [2, 4], dtype: 'f32' }], gradient })
    const total = f.finish(emit(f.graph, op, [h])[0]!)
    return message(() => autodiff(f.graph, [{ loss: total, scale: 1 }]), t)
  }
  t.regex(
    faulty(() => []),
    /op faulty: gives no gradient of input 0/,
  )
  t.regex(
    faulty(({ graph }) => [input(graph, 'odd', [3, 4])]),
    /op faulty: gave a gradient of another shape for input 0/,
  )
  t.regex(
    faulty(({ dOutputs: [dy] }) => [dy, dy]),
    /op faulty: gave 2 gradients for 1 inputs/,
  )
})

test('minimising what is no loss, or a loss of another graph, is an error', (t) => {
  const f = start()
  const h = linear(f.graph, input(f.graph, 'x', [1, 4]), f.trained('w', [1, 4]), undefined)
  const y = add(f.graph, h, h)
  t.regex(
    message(() => autodiff(f.graph, [{ loss: y, scale: 1 }]), t),
    /op add: gives no gradient of input 0/,
  )
  const other = start()
  const total = other.finish(input(other.graph, 'x', [1, 4]))
  t.regex(
    message(() => autodiff(f.graph, [{ loss: total, scale: 1 }]), t),
    /no op of test makes this loss/,
  )
})

test('asking for the gradient of a weight or parameter as a result is an error', (t) => {
  const f = start()
  const w = f.trained('w', [3, 4])
  const total = f.finish(linear(f.graph, input(f.graph, 'x', [2, 4]), w, undefined))
  t.regex(
    message(() => autodiff(f.graph, [{ loss: total, scale: 1 }], [w]), t),
    /gradients of a buffer tensor are no result/,
  )
})
