/**
 * Keys of a single-file checkpoint in the layout of the original Stable Diffusion code, in both directions:
 *
 *     model.diffusion_model.*                       UNet (`ldm-unet.ts`)
 *     first_stage_model.*                           autoencoder (`ldm-vae.ts`)
 *     cond_stage_model.transformer.[text_model.]*   CLIP text encoder, named as in transformers
 *
 * Everything else that such files carry is not needed: the noise schedule's tables, averaged weights (`model_ema.*`),
 * the text encoder's constant `position_ids`.
 */
import { type LdmUnetLayout, fromLdmUnet, ldmLayersPerBlock, toLdmUnet } from './ldm-unet'
import { fromLdmVae, isVaeAttentionWeight, ldmVaeLevels, toLdmVae } from './ldm-vae'
import { unetTopology, vaeTopology } from './topology'

/** The networks of a checkpoint. */
export type Component = 'unet' | 'vae' | 'textEncoder'

export interface ComponentName {
  component: Component
  name: string
}

const prefixes = {
  unet: 'model.diffusion_model.',
  vae: 'first_stage_model.',
  textEncoder: 'cond_stage_model.transformer.',
} as const

const clipModule = /^text_model\.(embeddings\.(token|position)_embedding|encoder\.layers\.\d+|final_layer_norm)\./

export interface LdmMap {
  /** By key of the file. */
  names: Map<string, ComponentName>
  /** Keys that are no weights of the three networks. */
  ignored: string[]
}

/**
 * Finds the inner name of every key of a checkpoint. Keys are looked at as a whole, since blocks are numbered in a row.
 */
export function mapLdmKeys(keys: Iterable<string>): LdmMap {
  const list = [...keys]
  const layersPerBlock = ldmLayersPerBlock(under(list, prefixes.unet))
  const levels = ldmVaeLevels(under(list, prefixes.vae))
  const names = new Map<string, ComponentName>()
  const ignored: string[] = []
  for (const key of list) {
    const found = fromLdm(key, layersPerBlock, levels)
    if (found) names.set(key, found)
    else ignored.push(key)
  }
  return { names, ignored }
}

function fromLdm(key: string, layersPerBlock: number, levels: number): ComponentName | undefined {
  if (key.startsWith(prefixes.unet)) {
    const name = fromLdmUnet(key.slice(prefixes.unet.length), layersPerBlock)
    return name === undefined ? undefined : { component: 'unet', name }
  }
  if (key.startsWith(prefixes.vae)) {
    const name = fromLdmVae(key.slice(prefixes.vae.length), levels)
    return name === undefined ? undefined : { component: 'vae', name }
  }
  if (key.startsWith(prefixes.textEncoder)) {
    const rest = key.slice(prefixes.textEncoder.length)
    const name = rest.startsWith('text_model.') ? rest : `text_model.${rest}`
    return clipModule.test(name) ? { component: 'textEncoder', name } : undefined
  }
  return undefined
}

function* under(keys: Iterable<string>, prefix: string): Generator<string> {
  for (const key of keys) if (key.startsWith(prefix)) yield key.slice(prefix.length)
}

/** What the way back needs to know of a model. */
export interface LdmLayout {
  unet: LdmUnetLayout
  vaeLevels: number
}

/** Reads the layout off the inner names of a model's tensors. */
export function ldmLayout(unetNames: Iterable<string>, vaeNames: Iterable<string>): LdmLayout {
  const unet = unetTopology(unetNames)
  return {
    unet: { layersPerBlock: unet.layersPerBlock, upAttention: unet.up.map(depth => depth > 0) },
    vaeLevels: vaeTopology(vaeNames).levels,
  }
}

/** The key of a tensor in a single-file checkpoint; undefined for a name that the layout does not know. */
export function toLdmKey({ component, name }: ComponentName, layout: LdmLayout): string | undefined {
  const mapped =
    component === 'unet' ? toLdmUnet(name, layout.unet) : component === 'vae' ? toLdmVae(name, layout.vaeLevels) : name
  return mapped === undefined ? undefined : prefixes[component] + mapped
}

/** The shape that a tensor has in a single-file checkpoint. */
export function toLdmShape({ component, name }: ComponentName, shape: readonly number[]): number[] {
  const widen = component === 'vae' && isVaeAttentionWeight(name) && shape.length === 2
  return widen ? [...shape, 1, 1] : [...shape]
}
