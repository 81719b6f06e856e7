/**
 * Module names in LoRA files. kohya's sd-scripts joins a module's path by underscores behind a prefix
 * (networks/lora.py), so `unet down_blocks.0.attentions.0.proj_in` becomes
 * `lora_unet_down_blocks_0_attentions_0_proj_in`. The way back is ambiguous (`to_out.0`, `to_out_0`), which is why
 * names are looked up among the base model's modules and never taken apart.
 */
import { toLdmUnet } from './ldm-unet'
import { unetTopology } from './topology'

/** The networks that LoRA files of this family adapt. */
export type LoraNetwork = 'unet' | 'te'

const writePrefixes: Record<LoraNetwork, string> = { unet: 'lora_unet_', te: 'lora_te_' }

/** The name under which kohya's tools, ComfyUI, AUTOMATIC1111 and diffusers expect a module. */
export function kohyaModuleName(network: LoraNetwork, path: string): string {
  return writePrefixes[network] + joined(path)
}

/** The name that diffusers and PEFT write. */
export function peftModuleName(network: LoraNetwork, path: string): string {
  return `${network === 'unet' ? 'unet' : 'text_encoder'}.${path}`
}

/** How a file names its modules. */
export type LoraNameStyle = 'kohya' | 'lycoris' | 'diffusers' | 'diffusers-old' | 'peft' | 'comfy' | 'bare'

export interface RawModuleName {
  style: LoraNameStyle
  /** Undefined when the name does not say; `other` for a network that this family does not have. */
  network: LoraNetwork | 'other' | undefined
  /** The path, with dots or underscores as in the file. */
  rest: string
}

const readPrefixes: [pattern: RegExp, network: RawModuleName['network'], style: LoraNameStyle][] = [
  [/^lora_unet_/, 'unet', 'kohya'],
  [/^lora_te1?_/, 'te', 'kohya'], // te1 in tools that treat all families alike
  [/^lora_te[23]_/, 'other', 'kohya'],
  [/^lycoris[_.]unet_/, 'unet', 'lycoris'],
  [/^lycoris[_.]te1?_/, 'te', 'lycoris'],
  [/^lycoris[_.]/, undefined, 'lycoris'], // SimpleTuner
  [/^(base_model\.model\.)?unet\.(base_model\.model\.)?/, 'unet', 'diffusers'],
  [/^(base_model\.model\.)?text_encoder\.(base_model\.model\.)?/, 'te', 'diffusers'],
  [/^(text_encoder_[23]|transformer)\./, 'other', 'diffusers'],
  [/^base_model\.model\./, undefined, 'peft'],
  [/^(model\.)?diffusion_model\./, 'unet', 'comfy'],
  [/^text_encoders\.clip_l\.(transformer\.)?/, 'te', 'comfy'],
  [/^text_encoders\./, 'other', 'comfy'],
]

/** Takes the prefix off a module's name in a file. */
export function splitModuleName(raw: string): RawModuleName {
  const old = raw.includes('.processor.')
  for (const [pattern, network, style] of readPrefixes) {
    const match = pattern.exec(raw)
    if (match) return { style: old ? 'diffusers-old' : style, network, rest: raw.slice(match[0].length) }
  }
  return { style: old ? 'diffusers-old' : 'bare', network: undefined, rest: raw }
}

export interface ModuleAddress {
  network: LoraNetwork
  path: string
}

export type ModuleLookup = (name: RawModuleName) => ModuleAddress | undefined

/**
 * Prepares finding modules by the names that files give them: the path itself, the original (sgm) layout's name of a
 * UNet module, text encoder paths without `text_model`, and the attention processors of early diffusers.
 * @param modules paths of the base's modules by network
 */
export function moduleLookup(modules: Record<LoraNetwork, Iterable<string>>): ModuleLookup {
  const unet = [...modules.unet]
  const { layersPerBlock, up } = unetTopology(unet.map(path => `${path}.`))
  const layout = { layersPerBlock, upAttention: up.map(depth => depth > 0) }
  const tables: Record<LoraNetwork, Map<string, string>> = { unet: new Map(), te: new Map() }
  const add = (network: LoraNetwork, name: string | undefined, path: string) => {
    if (name !== undefined && !tables[network].has(joined(name))) tables[network].set(joined(name), path)
  }
  for (const path of unet) add('unet', path, path)
  for (const path of modules.te) add('te', path, path)
  for (const path of unet) add('unet', toLdmUnet(path, layout), path)
  for (const path of modules.te) add('te', path.replace(/^text_model\./, ''), path)
  return ({ network, rest }) => {
    if (network === 'other') return undefined
    for (const candidate of network ? [network] : (['unet', 'te'] as const)) {
      for (const spelling of spellings(rest)) {
        const path = tables[candidate].get(joined(spelling))
        if (path !== undefined) return { network: candidate, path }
      }
    }
    return undefined
  }
}

const clipProjections: Record<string, string> = { to_q: 'q_proj', to_k: 'k_proj', to_v: 'v_proj', to_out: 'out_proj' }

/**
 * Early diffusers put the pairs into attention processors: `attn1.processor.to_out` for attn1.to_out.0, and in CLIP
 * to_q for q_proj.
 */
function spellings(rest: string): string[] {
  const plain = rest.replace('.processor.', '.')
  return [
    plain,
    plain.replace(/([._])to_out$/, '$1to_out.0'),
    plain.replace(/self_attn\.(to_(?:q|k|v|out))$/, (_, old: string) => `self_attn.${clipProjections[old]}`),
  ]
}

function joined(path: string): string {
  return path.replaceAll('.', '_')
}
