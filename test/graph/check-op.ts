/**
 * Checks an op on the cpu device against double precision: a case builds a small graph around the op, ending in a loss;
 * autodiff, plan and device then give values and gradients as a training step would, and the same forward graph
 * evaluated by test/graph/reference.ts gives the expected values, and by central differences the expected gradients.
 */
import type { ExecutionContext } from 'ava'
import { createGraph, createTensor, emitOne, input, output, type Graph } from '../../lib/graph/graph'
import { castOp } from '../../lib/graph/ops/cast'
import { loss as lossOp } from '../../lib/graph/ops/loss'
import { bufferBytes, createParameterSet, parameter, type ParameterSet } from '../../lib/graph/parameters'
import { autodiff } from '../../lib/graph/passes/autodiff'
import { planMemory } from '../../lib/graph/passes/plan'
import { createProgram } from '../../lib/graph/program'
import { elements, type Tensor } from '../../lib/graph/tensor'
import { verify } from '../../lib/graph/verify'
import { openEngine, type Engine, type Values } from '../../lib/native'
import { relativeL2 } from '../helpers/fixture-tensors'
import { normals } from '../helpers/run-op'
import { evaluate } from './reference'
import { testDevice } from '../helpers/test-device'

export interface CaseBuilder {
  readonly graph: Graph
  /** An activation whose gradient is checked. */
  x(name: string, shape: readonly number[], values?: readonly number[]): Tensor
  /** An activation without gradient. */
  constant(name: string, shape: readonly number[], values?: readonly number[]): Tensor
  ids(name: string, shape: readonly number[], values: readonly number[]): Tensor
  /** A trainable parameter, whose gradient is checked. */
  trained(name: string, shape: readonly number[], precision?: 'f32'): Tensor
  /** A weight of the weight store, which gets none. */
  frozen(name: string, shape: readonly number[]): Tensor
}

export interface OpCase {
  /** What is special: "stride 2, padded below and to the right". */
  title: string
  /** Adds the op. What it returns goes through a squared error, unless it is a loss [1] itself. */
  build(builder: CaseBuilder): Tensor
}

/**
 * Forward values are sums of at most some hundred products of numbers near 1, whose rounding in f32 (6e-8 each) comes
 * to 1e-6 at most; a gradient is two to four such sums one after the other. Central differences in double precision
 * with this step are wrong by about step² (truncation) and 1e-16/step (rounding), both below 1e-9: no part of the
 * tolerance.
 */
const forwardTolerance = 1e-6
const gradientTolerance = 3e-6
const step = 1e-5

/** What is minimised is scale times the loss, so that a rule that drops the seed's scale shows. */
const scale = 0.7

interface Built {
  forward: Graph
  graph: Graph
  set: ParameterSet
  y: Tensor
  total: Tensor
  /** Every leaf by name. */
  leaves: Map<
    string,
    { tensor: Tensor; values: Float32Array | Int32Array; kind: 'x' | 'constant' | 'trained' | 'frozen' }
  >
}

/**
 * How the operands lie. The caller's inputs and outputs are never overwritten, so with `ports` every op writes to a
 * place of its own; with `copies`, ops read copies of the inputs and no value is given out, so they run in place where
 * they may.
 */
export type Layout = 'ports' | 'copies'

/** The graphs of a case, without a device. */
export function buildCase(one: OpCase, layout: Layout): Built {
  const forward = createGraph(one.title, 'f32')
  const set = createParameterSet('f32')
  const leaves: Built['leaves'] = new Map()
  const leaf = (kind: 'x' | 'constant' | 'trained' | 'frozen', tensor: Tensor, values?: readonly number[]) => {
    const seed = leaves.size + 1
    leaves.set(tensor.name, {
      tensor,
      kind,
      values: Float32Array.from(values ?? normals(elements(tensor.shape), seed, 0.8)),
    })
    return tensor
  }
  const read = (tensor: Tensor) =>
    layout === 'ports' ? tensor : emitOne(forward, castOp, [tensor], { dtype: 'f32' }, `${tensor.name} copied`)
  const y = one.build({
    graph: forward,
    x: (name, shape, values) => read(leaf('x', input(forward, name, shape), values)),
    constant: (name, shape, values) => read(leaf('constant', input(forward, name, shape), values)),
    ids(name, shape, values) {
      const tensor = input(forward, name, shape, 'i32')
      leaves.set(name, { tensor, kind: 'constant', values: Int32Array.from(values) })
      return tensor
    },
    trained: (name, shape, precision) =>
      leaf(
        'trained',
        parameter(set, name, shape, { group: 'unet', init: { kind: 'zeros' }, ...(precision && { precision }) }),
      ),
    frozen: (name, shape) => leaf('frozen', createTensor(name, shape, 'f32', { space: 'weight', name })),
  })
  const total = isLoss(forward, y) ? y : squaredError(forward, y, leaf)
  output(forward, 'total', total)
  if (y !== total && layout === 'ports') output(forward, 'y', y)
  const wrt = [...leaves.values()].filter(({ kind }) => kind === 'x').map(({ tensor }) => tensor)
  const { graph, gradients } = autodiff(forward, [{ loss: total, scale }], wrt)
  for (const [tensor, gradient] of gradients) output(graph, `d ${tensor.name}`, gradient)
  verify(graph)
  return { forward, graph, set, y, total, leaves }
}

const isLoss = (graph: Graph, tensor: Tensor) =>
  graph.ops.some(
    ({ definition, outputs }) => ['loss', 'gaussian_kl'].includes(definition.name) && outputs.includes(tensor),
  )

function squaredError(
  graph: Graph,
  y: Tensor,
  leaf: (kind: 'constant', tensor: Tensor, values?: number[]) => Tensor,
): Tensor {
  const batch = y.shape[0]!
  const target = leaf('constant', input(graph, 'target', y.shape))
  const weight = leaf(
    'constant',
    input(graph, 'weight', [batch]),
    Array.from({ length: batch }, (_, n) => 1 + n / 2),
  )
  return lossOp(graph, { pred: y, target, weight }, 'l2').total
}

export async function checkOp(t: ExecutionContext, one: OpCase, layout: Layout): Promise<void> {
  const built = buildCase(one, layout)
  const device = await runOnDevice(built)
  const values = leafValues(built, device.weights)
  const reference = evaluate(built.forward, (tensor) => values.get(tensor.name)!)
  for (const [name, tensor] of built.forward.outputs) {
    const error = relativeL2(device.outputs[name]!, reference.get(tensor)!)
    t.true(error <= forwardTolerance, `${one.title}: ${name} differs by ${error}`)
  }
  for (const { tensor, kind } of built.leaves.values()) {
    if (kind !== 'x' && kind !== 'trained') continue
    const expected = centralDifferences(built, values, tensor.name)
    const found = kind === 'x' ? device.outputs[`d ${tensor.name}`] : device.gradients(tensor.name)
    if (!found) {
      t.fail(`${one.title}: ${tensor.name} has no gradient`)
      continue
    }
    const error = relativeL2(found, expected)
    t.true(error <= gradientTolerance, `${one.title}: the gradient of ${tensor.name} differs by ${error}`)
    if (kind === 'trained') {
      const twice = relativeL2(
        device.gradientsAfterTwo(tensor.name),
        expected.map((v) => 2 * v),
      )
      t.true(twice <= gradientTolerance, `${one.title}: the gradient of ${tensor.name} does not accumulate: ${twice}`)
    }
  }
}

/** d(scale · total)/d(leaf), element by element. */
function centralDifferences(built: Built, values: ReadonlyMap<string, Float64Array>, name: string): Float64Array {
  const mine = values.get(name)!
  const totalWith = (i: number, value: number) => {
    const before = mine[i]!
    mine[i] = value
    const total = evaluate(built.forward, (tensor) => values.get(tensor.name)!).get(built.total)![0]!
    mine[i] = before
    return total
  }
  return mine.map((v, i) => (scale * (totalWith(i, v + step) - totalWith(i, v - step))) / (2 * step))
}

/** Every leaf as the device sees it, in double precision. */
function leafValues({ leaves }: Built, weights: ReadonlyMap<string, Float32Array>): Map<string, Float64Array> {
  return new Map([...leaves].map(([name, { values }]) => [name, Float64Array.from(weights.get(name) ?? values)]))
}

/** One run, and a second one that adds its gradients to those of the first. */
async function runOnDevice({ graph, set, leaves }: Built) {
  const engine = openEngine({ device: testDevice, computeDtype: 'f32', threads: 1 })
  try {
    const ofKind = (kind: string) => [...leaves].filter(([, entry]) => entry.kind === kind)
    const weights = await addFrozen(
      engine,
      ofKind('frozen').map(([, { tensor }]) => tensor),
    )
    if (set.elements > 0) for (const [name, bytes] of bufferBytes(set, [])) engine.createBuffer(name, bytes)
    for (const [name, { values }] of ofKind('trained'))
      engine.writeBuffer('params', set.parameters.get(name)!.offset * 4, values as Float32Array)
    const handle = engine.compile(createProgram(graph, planMemory(graph)))
    const inputs: Record<string, Values> = Object.fromEntries(
      [...graph.inputs.keys()].map((name) => [name, leaves.get(name)!.values]),
    )
    const [outputs] = await engine.run([{ program: handle, inputs }])
    const first = set.elements > 0 ? engine.readBuffer('grads', 0, set.elements) : new Float32Array()
    await engine.run([{ program: handle, inputs }])
    const second = set.elements > 0 ? engine.readBuffer('grads', 0, set.elements) : new Float32Array()
    const window = (all: Float32Array) => (name: string) => {
      const { offset, shape } = set.parameters.get(name)!
      return all.slice(offset, offset + elements(shape))
    }
    return { outputs: outputs!, weights, gradients: window(first), gradientsAfterTwo: window(second) }
  } finally {
    engine.close()
  }
}

async function addFrozen(engine: Engine, tensors: readonly Tensor[]): Promise<Map<string, Float32Array>> {
  await engine.addWeights(
    tensors.map(({ name, shape }, stream) => ({
      name,
      dtype: 'f32',
      shape: [...shape],
      sources: [{ kind: 'normal', seed: 5, stream, std: 0.8, shape: [...shape] }],
    })),
  )
  return new Map(tensors.map(({ name }) => [name, engine.readWeight(name)]))
}
