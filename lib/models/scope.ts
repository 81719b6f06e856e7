/**
 * What a network builder works in: where its weights come from (frozen in the weight store, or trainable in the flat arena)
 * and which adapters sit on which layer. The same builder serves inference, LoRA training and full training, and a first
 * build without an engine tells which weights are needed and in which shape.
 */
import type { AdapterSite, AdapterSource, Container, NetworkName } from '../adapters/site'
import { LorikeetError } from '../base/errors'
import { createTensor, type Graph } from '../graph/graph'
import type { LowRank } from '../graph/ops/low_rank'
import { parameter, type Initializer, type ParameterSet } from '../graph/parameters'
import type { Tensor } from '../graph/tensor'

export type { AdapterSite, AdapterSource, Container, NetworkName } from '../adapters/site'

/** One tensor of the checkpoint: `down_blocks.0.resnets.0.conv1.weight`, in the file's order ([O, I, kh, kw] for convolutions). */
export interface WeightPart {
  tensor: string
  shape: readonly number[]
}

/** A weight as the device holds it: the rows of its parts, one after another. */
export interface WeightRequest {
  /** Key in the weight store, and name of the parameter when it is trained. */
  name: string
  network: NetworkName
  parts: readonly WeightPart[]
  /** Device shape, [N, K] or [O, kh, kw, I] or [C]. */
  shape: readonly number[]
  precision: 'compute' | 'f32'
  /** Where the layer lies whose matrix or filters these are; undefined for biases, norms and embeddings. */
  container?: Container
  /** For fresh weights; as the peers' default initialisation of that layer. */
  init: Initializer
}

export interface Scope {
  graph: Graph
  network: NetworkName
  /** Everything asked for so far, by name. */
  requests: Map<string, WeightRequest>
  /** Every layer that could carry an adapter, in build order. */
  sites: AdapterSite[]
  /** Adapters in the order in which they add; usually the one being trained and those of a stack. */
  adapters: readonly AdapterSource[]
  /** Set when this network's own weights are trained. */
  trainable?: ParameterSet
}

export function createScope(
  graph: Graph,
  network: NetworkName,
  options: { adapters?: readonly AdapterSource[]; trainable?: ParameterSet } = {},
): Scope {
  const { adapters = [], trainable } = options
  return { graph, network, requests: new Map(), sites: [], adapters, ...(trainable && { trainable }) }
}

/** The tensor of a weight, frozen or trainable. */
export function requestWeight(scope: Scope, request: Omit<WeightRequest, 'name' | 'network'>): Tensor {
  const name = weightName(scope.network, request.parts)
  const known = scope.requests.get(name)
  if (known && known.shape.join() !== request.shape.join())
    throw new LorikeetError('failed', 'is used with two shapes', { where: `weight ${name}` })
  scope.requests.set(name, { ...request, name, network: scope.network })
  if (scope.trainable)
    return parameter(scope.trainable, name, request.shape, {
      group: scope.network,
      init: request.init,
      precision: request.precision,
    })
  const dtype = request.precision === 'f32' ? 'f32' : scope.graph.dtype
  return createTensor(name, request.shape, dtype, { space: 'weight', name })
}

/** `unet/mid_block.attentions.0.proj_in.weight`; of fused layers all paths joined by `+`. */
export function weightName(network: NetworkName, parts: readonly WeightPart[]): string {
  return `${network}/${parts.map((part) => part.tensor).join('+')}`
}

/** Notes the site and returns the adapters on it. */
export function adaptersAt(scope: Scope, site: Omit<AdapterSite, 'network'>): LowRank[] {
  const full = { ...site, network: scope.network }
  scope.sites.push(full)
  return scope.adapters.flatMap((source) => source.lowRank(scope.graph, full))
}
