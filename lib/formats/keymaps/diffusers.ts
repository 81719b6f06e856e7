/**
 * Tensor names of a diffusers folder. They are the names used inside, except for what earlier versions of diffusers and
 * transformers wrote: the autoencoder's attention as query/key/value/proj_attn (before 0.17), and the text encoder's
 * constant position ids. The autoencoder's attention weights may be [C, C, 1, 1]; inside they are [C, C].
 */
import type { Component } from './ldm'
import { isVaeAttentionWeight } from './ldm-vae'

const oldAttentionNames: Record<string, string> = { query: 'to_q', key: 'to_k', value: 'to_v', proj_attn: 'to_out.0' }

/** The inner name of a tensor; undefined for one that is no weight. */
export function fromDiffusers(component: Component, key: string): string | undefined {
  if (component === 'vae') {
    return key.replace(
      /(\.mid_block\.attentions\.0\.)(query|key|value|proj_attn)\.(weight|bias)$/,
      (_, path: string, old: string, kind: string) => `${path}${oldAttentionNames[old]}.${kind}`,
    )
  }
  if (component === 'textEncoder') {
    if (key.endsWith('.position_ids')) return undefined
    return /^(embeddings|encoder|final_layer_norm)\./.test(key) ? `text_model.${key}` : key
  }
  return key
}

/** The shape used inside for a tensor of a file. Bytes stay as they are. */
export function innerShape(component: Component, name: string, shape: readonly number[]): number[] {
  const narrow = component === 'vae' && isVaeAttentionWeight(name) && shape.length === 4
  return narrow && shape[2] === 1 && shape[3] === 1 ? shape.slice(0, 2) : [...shape]
}
