/** Layers with their weights and adapters: what network builders are written in. */
import { inBlock } from '../graph/graph'
import { conv2d, type Conv2dGeometry } from '../graph/ops/conv2d'
import { groupNorm as groupNormOp, type GroupNormOptions } from '../graph/ops/group_norm'
import { layerNorm as layerNormOp } from '../graph/ops/layer_norm'
import { linear as linearOp } from '../graph/ops/linear'
import type { Initializer } from '../graph/parameters'
import { columns, type Tensor } from '../graph/tensor'
import { adaptersAt, requestWeight, type Container, type Scope, type WeightPart } from './scope'

export interface LinearOptions {
  /** Module path, or several that read the same x: computed as one product, outputs side by side. */
  path: string | readonly string[]
  /** Columns that each path writes. */
  outputs: number
  bias: boolean
  container: Container
  /** A 1x1 convolution in the checkpoint. */
  conv1x1?: boolean
  init?: Initializer
}

/** x [.., K] -> [.., outputs * paths]. Fresh weights start as torch nn.Linear: U(-1/√K, 1/√K). */
export function linear(scope: Scope, x: Tensor, options: LinearOptions): Tensor {
  const paths = typeof options.path === 'string' ? [options.path] : options.path
  const { outputs, container, conv1x1 = false } = options
  const inputs = columns(x)
  const init = options.init ?? { kind: 'uniform', bound: 1 / Math.sqrt(inputs) }
  const window = conv1x1 ? [1, 1] : []
  const part = (suffix: string, shape: readonly number[]): WeightPart[] =>
    paths.map((path) => ({ tensor: `${path}.${suffix}`, shape }))
  const weight = requestWeight(scope, {
    parts: part('weight', [outputs, inputs, ...window]),
    shape: [outputs * paths.length, inputs],
    precision: 'compute',
    container,
    init,
  })
  const bias = options.bias
    ? requestWeight(scope, { parts: part('bias', [outputs]), shape: [outputs * paths.length], precision: 'f32', init })
    : undefined
  const adapters = adaptersAt(scope, {
    container,
    kind: conv1x1 ? 'conv1x1' : 'linear',
    parts: paths.map((path) => ({ path, outputs })),
    window: [inputs],
  })
  return linearOp(scope.graph, x, weight, bias, adapters, paths.join('+'))
}

export interface ConvOptions extends Partial<Conv2dGeometry> {
  path: string
  outputs: number
  /** 3 unless told. */
  kernel?: number
  container: Container
}

/** x [N, H, W, C] -> [N, Ho, Wo, outputs], with bias; stride 1 and same-size padding unless told. 1x1 is a linear layer. */
export function conv(scope: Scope, x: Tensor, options: ConvOptions): Tensor {
  const { path, outputs, kernel = 3, container, stride = 1 } = options
  if (kernel === 1 && stride === 1) return linear(scope, x, { path, outputs, bias: true, container, conv1x1: true })
  const inputs = columns(x)
  const margin = (kernel - 1) / 2
  const padding = options.padding ?? ([margin, margin, margin, margin] as const)
  const init: Initializer = { kind: 'uniform', bound: 1 / Math.sqrt(inputs * kernel * kernel) }
  const weight = requestWeight(scope, {
    parts: [{ tensor: `${path}.weight`, shape: [outputs, inputs, kernel, kernel] }],
    shape: [outputs, kernel, kernel, inputs],
    precision: 'compute',
    container,
    init,
  })
  const bias = requestWeight(scope, {
    parts: [{ tensor: `${path}.bias`, shape: [outputs] }],
    shape: [outputs],
    precision: 'f32',
    init,
  })
  const adapters = adaptersAt(scope, {
    container,
    kind: 'conv',
    parts: [{ path, outputs }],
    window: [kernel, kernel, inputs],
  })
  return conv2d(scope.graph, x, weight, bias, { stride, padding }, adapters, path)
}

function affine(scope: Scope, path: string, channels: number): { gamma: Tensor; beta: Tensor } {
  const one = (suffix: string, init: Initializer) =>
    requestWeight(scope, { parts: [{ tensor: `${path}.${suffix}`, shape: [channels] }], shape: [channels], precision: 'f32', init })
  return { gamma: one('weight', { kind: 'ones' }), beta: one('bias', { kind: 'zeros' }) }
}

export function groupNorm(scope: Scope, x: Tensor, path: string, options: GroupNormOptions): Tensor {
  const { gamma, beta } = affine(scope, path, columns(x))
  return groupNormOp(scope.graph, x, gamma, beta, options, path)
}

export function layerNorm(scope: Scope, x: Tensor, path: string, eps = 1e-5): Tensor {
  const { gamma, beta } = affine(scope, path, columns(x))
  return layerNormOp(scope.graph, x, gamma, beta, eps, path)
}

/** A named block of the network: the unit of checkpointing. */
export function block<T>(scope: Scope, path: string, body: () => T): T {
  return inBlock(scope.graph, `${scope.network}/${path}`, body)
}
