/** The text encoder of CLIP (transformers models/clip/modeling_clip.py, CLIPTextModel; Radford et al. 2021, arXiv 2103.00020). */
import { activation, type ActivationKind } from '../../graph/ops/activation'
import { add } from '../../graph/ops/add'
import { attention } from '../../graph/ops/attention'
import { embedding } from '../../graph/ops/embedding'
import type { Tensor } from '../../graph/tensor'
import { block, layerNorm, linear } from '../layers'
import { requestWeight, type Scope } from '../scope'

export interface ClipTextConfig {
  vocabulary: number
  /** Most tokens in one chunk, 77. */
  positions: number
  width: number
  layers: number
  heads: number
  feedForward: number
  activation: ActivationKind
}

/**
 * ids [N, L] i32, L at most `positions` -> states [N, L, width] after the final layer norm.
 * @param clipSkip 1 uses the last layer, n the n-th from the end (its output, then the final norm), as sd-scripts
 */
export function clipText(scope: Scope, config: ClipTextConfig, ids: Tensor, clipSkip = 1): Tensor {
  const { graph } = scope
  const { width } = config
  const table = (name: string, count: number, std: number) =>
    requestWeight(scope, {
      parts: [{ tensor: `text_model.embeddings.${name}.weight`, shape: [count, width] }],
      shape: [count, width],
      precision: 'compute',
      init: { kind: 'normal', std },
    })
  const token = table('token_embedding', config.vocabulary, 0.02)
  const position = table('position_embedding', config.positions, 0.02)
  let hidden = embedding(graph, ids, token, position)
  for (let layer = 0; layer < config.layers - (clipSkip - 1); layer++)
    hidden = encoderLayer(scope, hidden, config, `text_model.encoder.layers.${layer}`)
  return layerNorm(scope, hidden, 'text_model.final_layer_norm')
}

function encoderLayer(scope: Scope, x: Tensor, config: ClipTextConfig, path: string): Tensor {
  const { graph } = scope
  const { width, heads } = config
  return block(scope, path, () => {
    const attn = `${path}.self_attn`
    const qkv = linear(scope, layerNorm(scope, x, `${path}.layer_norm1`), {
      path: ['q_proj', 'k_proj', 'v_proj'].map((name) => `${attn}.${name}`),
      outputs: width,
      bias: true,
      container: 'clip_attention',
    })
    const attended = attention(graph, [qkv], { heads, causal: true }, attn)
    const out = linear(scope, attended, { path: `${attn}.out_proj`, outputs: width, bias: true, container: 'clip_attention' })
    const afterAttention = add(graph, x, out, attn)
    const wide = linear(scope, layerNorm(scope, afterAttention, `${path}.layer_norm2`), {
      path: `${path}.mlp.fc1`,
      outputs: config.feedForward,
      bias: true,
      container: 'clip_mlp',
    })
    const narrow = linear(scope, activation(graph, wide, config.activation), {
      path: `${path}.mlp.fc2`,
      outputs: width,
      bias: true,
      container: 'clip_mlp',
    })
    return add(graph, afterAttention, narrow, path)
  })
}
