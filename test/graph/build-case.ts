/**
 * Builds a small graph around an op, ending in a loss, from a case; autodiff then adds the gradients of everything that
 * wants one. In bf16 vectors are f32, as biases, norm parameters and weights of samples are in every graph.
 */
import { createGraph, createTensor, emitOne, input, output, type Graph } from '../../lib/graph/graph'
import { castOp } from '../../lib/graph/ops/cast'
import { loss as lossOp } from '../../lib/graph/ops/loss'
import { createParameterSet, parameter, type ParameterSet } from '../../lib/graph/parameters'
import { autodiff } from '../../lib/graph/passes/autodiff'
import { elements, type ComputeDType, type Tensor } from '../../lib/graph/tensor'
import { verify } from '../../lib/graph/verify'
import { normals } from '../helpers/run-op'

export interface CaseBuilder {
  readonly graph: Graph
  /** An activation whose gradient is checked. */
  x(name: string, shape: readonly number[], values?: readonly number[]): Tensor
  /** An activation without gradient. */
  constant(name: string, shape: readonly number[], values?: readonly number[], precision?: 'f32'): Tensor
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

/** What is minimised is scale times the loss, so that a rule that drops the seed's scale shows. */
export const scale = 0.7

type Kind = 'x' | 'constant' | 'trained' | 'frozen'

export interface Built {
  forward: Graph
  graph: Graph
  set: ParameterSet
  y: Tensor
  total: Tensor
  /** Every leaf by name. */
  leaves: Map<string, { tensor: Tensor; values: Float32Array | Int32Array; kind: Kind }>
}

/**
 * How the operands lie. The caller's inputs and outputs are never overwritten, so with `ports` every op writes to a
 * place of its own; with `copies`, ops read copies of the inputs and no value is given out, so they run in place where
 * they may.
 */
export type Layout = 'ports' | 'copies'

export interface BuildOptions {
  dtype?: ComputeDType
  /** Other values. */
  seed?: number
  /** The values of leaves by name, instead of others; frozen weights are then inputs. */
  given?: ReadonlyMap<string, ArrayLike<number>>
}

/** The graphs of a case, without a device. */
export function buildCase(one: OpCase, layout: Layout, { dtype = 'f32', seed = 0, given }: BuildOptions = {}): Built {
  const forward = createGraph(one.title, dtype)
  const set = createParameterSet(dtype)
  const leaves: Built['leaves'] = new Map()
  const leaf = (kind: Kind, tensor: Tensor, values?: readonly number[]) => {
    const stream = 1000 * seed + leaves.size + 1
    leaves.set(tensor.name, {
      tensor,
      kind,
      values: Float32Array.from(given?.get(tensor.name) ?? values ?? normals(elements(tensor.shape), stream, 0.8)),
    })
    return tensor
  }
  const read = (tensor: Tensor) =>
    layout === 'ports' ? tensor : emitOne(forward, castOp, [tensor], { dtype: tensor.dtype }, `${tensor.name} copied`)
  const dtypeOf = (shape: readonly number[]) => (shape.length === 1 ? 'f32' : dtype)
  const y = one.build({
    graph: forward,
    x: (name, shape, values) => read(leaf('x', input(forward, name, shape, dtype), values)),
    constant: (name, shape, values, precision) =>
      read(leaf('constant', input(forward, name, shape, precision ?? dtypeOf(shape)), values)),
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
    frozen: (name, shape) =>
      given
        ? leaf('constant', input(forward, name, shape, dtypeOf(shape)))
        : leaf('frozen', createTensor(name, shape, dtypeOf(shape), { space: 'weight', name })),
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
