/** Where an adapter may sit: one layer of a network, described so that an adapter can decide whether and how to join it. */
import type { Graph } from '../graph/graph'
import type { LowRank } from '../graph/ops/low_rank'

/** The networks of a pipeline; also the folder-like prefix of weight names. */
export type NetworkName = 'unet' | 'text_encoder' | 'vae'

/** Where a layer lies, in the terms by which trainers choose their targets (sd-scripts' LoRANetwork target classes). */
export type Container = 'transformer' | 'resnet' | 'sampler' | 'clip_attention' | 'clip_mlp' | 'other'

/** One layer, or several that read the same input and are computed as one product (q, k, v). */
export interface AdapterSite {
  network: NetworkName
  container: Container
  /** `conv1x1` is computed as a linear layer, but files store its factors as convolutions. */
  kind: 'linear' | 'conv1x1' | 'conv'
  /** Module paths, e.g. `mid_block.attentions.0.proj_in`, with the columns that each writes. */
  parts: readonly { path: string; outputs: number }[]
  /** K of a linear; [kh, kw, C] of a convolution. */
  window: readonly number[]
}

export interface AdapterSource {
  /** The adapters on this layer; their factors are tensors of the graph. */
  lowRank(graph: Graph, site: AdapterSite): LowRank[]
}
