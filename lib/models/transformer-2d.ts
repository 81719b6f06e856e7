/**
 * The spatial transformer of the UNet (diffusers models/transformers/transformer_2d.py and attention.py,
 * BasicTransformerBlock): self-attention, cross-attention to the text, GEGLU feed-forward, each with a residual.
 */
import { add } from '../graph/ops/add'
import { attention } from '../graph/ops/attention'
import { geglu } from '../graph/ops/geglu'
import { columns, type Tensor } from '../graph/tensor'
import { block, groupNorm, layerNorm, linear } from './layers'
import type { Scope } from './scope'

export interface TransformerOptions {
  path: string
  heads: number
  groups: number
  /** Basic blocks in this transformer; 1 in SD 1.x. */
  depth: number
  /** proj_in and proj_out are linear layers (SD 2, SDXL) instead of 1x1 convolutions (SD 1). */
  linearProjection: boolean
}

const container = 'transformer' as const

/** x [N, H, W, C], context [N, L, E] -> [N, H, W, C] */
export function transformer2d(scope: Scope, x: Tensor, context: Tensor, options: TransformerOptions): Tensor {
  const { path, heads, groups, depth, linearProjection } = options
  const channels = columns(x)
  const projection = { outputs: channels, bias: true, container, conv1x1: !linearProjection }
  return block(scope, path, () => {
    const normed = groupNorm(scope, x, `${path}.norm`, { groups, eps: 1e-6 })
    let hidden = linear(scope, normed, { ...projection, path: `${path}.proj_in` })
    for (let i = 0; i < depth; i++)
      hidden = basicBlock(scope, hidden, context, { path: `${path}.transformer_blocks.${i}`, heads })
    const projected = linear(scope, hidden, { ...projection, path: `${path}.proj_out` })
    return add(scope.graph, x, projected, path)
  })
}

function basicBlock(scope: Scope, x: Tensor, context: Tensor, { path, heads }: { path: string; heads: number }): Tensor {
  const { graph } = scope
  const channels = columns(x)
  const project = (input: Tensor, attn: string, names: readonly string[]) =>
    linear(scope, input, { path: names.map((name) => `${path}.${attn}.${name}`), outputs: channels, bias: false, container })
  const out = (input: Tensor, attn: string) =>
    linear(scope, input, { path: `${path}.${attn}.to_out.0`, outputs: channels, bias: true, container })

  const qkv = project(layerNorm(scope, x, `${path}.norm1`), 'attn1', ['to_q', 'to_k', 'to_v'])
  const afterSelf = add(graph, x, out(attention(graph, [qkv], { heads }, `${path}.attn1`), 'attn1'), `${path}.attn1`)

  const q = project(layerNorm(scope, afterSelf, `${path}.norm2`), 'attn2', ['to_q'])
  const kv = project(context, 'attn2', ['to_k', 'to_v'])
  const afterCross = add(graph, afterSelf, out(attention(graph, [q, kv], { heads }, `${path}.attn2`), 'attn2'), `${path}.attn2`)

  const wide = linear(scope, layerNorm(scope, afterCross, `${path}.norm3`), {
    path: `${path}.ff.net.0.proj`,
    outputs: channels * 8, // 4x wide, twice for the gate
    bias: true,
    container,
  })
  const narrow = linear(scope, geglu(graph, wide, `${path}.ff`), { path: `${path}.ff.net.2`, outputs: channels, bias: true, container })
  return add(graph, afterCross, narrow, path)
}
