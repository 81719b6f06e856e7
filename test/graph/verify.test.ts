import test, { type ExecutionContext } from 'ava'
import { LorikeetError } from '../../lib/base/errors'
import { createGraph, createTensor, input, output, withOps, type Graph, type Operation } from '../../lib/graph/graph'
import { activation, activationOp } from '../../lib/graph/ops/activation'
import { add } from '../../lib/graph/ops/add'
import { layerNorm } from '../../lib/graph/ops/layer_norm'
import { sumRows } from '../../lib/graph/ops/sum_rows'
import type { Tensor } from '../../lib/graph/tensor'
import { verify } from '../../lib/graph/verify'

/** x -> silu -> + x -> layer norm, with a sum into a buffer at the end. */
function sound(): Graph {
  const graph = createGraph('sample', 'f32')
  const x = input(graph, 'x', [3, 4])
  const sum = add(graph, activation(graph, x, 'silu', 'a'), x, 'sum')
  const weight = (name: string) => createTensor(name, [4], 'f32', { space: 'weight', name })
  const y = layerNorm(graph, sum, weight('gamma'), weight('beta'), 1e-5, 'normed')
  sumRows(graph, y, 1, createTensor('total', [4], 'f32', { space: 'buffer', name: 'grads', offset: 0 }))
  output(graph, 'y', y)
  return graph
}

/** The same graph with one op changed. */
function changed(position: number, change: (op: Operation) => Partial<Operation>): Graph {
  const graph = sound()
  return withOps(
    graph,
    graph.ops.map((op, i) => (i === position ? { ...op, ...change(op) } : op)),
  )
}

function fault(t: ExecutionContext, graph: Graph): string {
  return t.throws(() => verify(graph), { instanceOf: LorikeetError })?.message ?? ''
}

const retyped = (tensor: Tensor | undefined, type: Partial<Pick<Tensor, 'shape' | 'dtype' | 'storage'>>) => ({
  ...tensor!,
  ...type,
})

test('a sound graph passes', (t) => {
  t.notThrows(() => verify(sound()))
})

test('an operand that is not made yet is named with op and position', (t) => {
  const graph = sound()
  const [first, second, ...rest] = graph.ops as [Operation, Operation, ...Operation[]]
  t.regex(fault(t, withOps(graph, [second, first, ...rest])), /^op add: reads a before it is made \(op 0 of sample\)/)
  t.regex(fault(t, withOps(graph, graph.ops.slice(1))), /^op add: reads a before it is made \(op 0 of sample\)/)
})

test('operands that the shape rule refuses are reported with the position', (t) => {
  const narrow = createTensor('narrow', [3, 2], 'f32', { space: 'weight', name: 'narrow' })
  const message = fault(
    t,
    changed(1, ({ inputs }) => ({ inputs: [inputs[0], narrow] })),
  )
  t.regex(message, /^op add: b must be \[3, 4\].* \(op 1 of sample\)/)
  t.regex(
    fault(
      t,
      changed(1, ({ inputs }) => ({ inputs: [inputs[0]] })),
    ),
    /^op add: operand 1 \(b\) is missing.*op 1/,
  )
  t.regex(
    fault(
      t,
      changed(0, () => ({ attributes: { kind: 'relu' } })),
    ),
    /^op activation: unknown kind relu.*op 0/,
  )
})

test('an output of another shape or dtype than the rule says is named with both', (t) => {
  const message = fault(
    t,
    changed(0, ({ outputs }) => ({ outputs: [retyped(outputs[0], { shape: [4, 3] })] })),
  )
  t.regex(message, /^op activation: output 0 is \[4, 3\] f32, not \[3, 4\] f32 \(op 0 of sample\)/)
  t.regex(
    fault(
      t,
      changed(0, ({ outputs }) => ({ outputs: [retyped(outputs[0], { dtype: 'bf16' })] })),
    ),
    /output 0 is \[3, 4\] bf16, not/,
  )
})

test('a missing output is named', (t) => {
  t.regex(
    fault(
      t,
      changed(2, ({ outputs }) => ({ outputs: [outputs[0]] })),
    ),
    /^op layer_norm: lacks output 1 \(op 2 of sample\)/,
  )
  t.regex(
    fault(
      t,
      changed(3, () => ({ outputs: [undefined] })),
    ),
    /^op sum_rows: makes nothing \(op 3 of sample\)/,
  )
})

test('an output that the shape rule does not know is named', (t) => {
  const silent = { ...activationOp, infer: () => [undefined] }
  t.regex(
    fault(
      t,
      changed(0, () => ({ definition: silent })),
    ),
    /^op activation: makes a, which its shape rule does not know/,
  )
})

test('a sum into a buffer of another size is named', (t) => {
  const message = fault(
    t,
    changed(3, ({ outputs }) => ({ outputs: [retyped(outputs[0], { shape: [5] })] })),
  )
  t.regex(message, /^op sum_rows: output 0 is \[5\] f32, not \[1, 4\] f32 \(op 3 of sample\)/)
})

test('a tensor that is made twice, or an input that is overwritten, is named', (t) => {
  const graph = sound()
  t.regex(
    fault(t, withOps(graph, [graph.ops[0]!, ...graph.ops])),
    /^op activation: writes a a second time \(op 1 of sample\)/,
  )
  t.regex(
    fault(
      t,
      changed(0, ({ inputs }) => ({ outputs: [inputs[0]] })),
    ),
    /^op activation: writes x a second time \(op 0 of sample\)/,
  )
})

test('a write to a frozen weight is named', (t) => {
  const storage = { space: 'weight', name: 'unet/w' } as const
  const message = fault(
    t,
    changed(0, ({ outputs }) => ({ outputs: [retyped(outputs[0], { storage })] })),
  )
  t.regex(message, /^op activation: writes the frozen weight unet\/w \(op 0 of sample\)/)
})

test('an output of the graph that no op makes is named', (t) => {
  const graph = sound()
  output(graph, 'z', createTensor('z', [2], 'f32'))
  t.regex(fault(t, graph), /^op output: the output z of sample is never made/)
})

test('tensors with extents that cannot be, and ports with one name, are refused when they are made', (t) => {
  const graph = sound()
  t.throws(() => createTensor('t', [2, 0], 'f32'), { message: /impossible shape \[2, 0\]/ })
  t.throws(() => createTensor('t', [1.5], 'f32'), { message: /impossible shape/ })
  t.throws(() => input(graph, 'x', [1]), { message: /two inputs named x/ })
  t.throws(() => output(graph, 'y', graph.inputs.get('x')!), { message: /two outputs named y/ })
})
