/**
 * Taking the keys of a LoRA file apart: which module a tensor belongs to, and which part of the adapter it is. Names of
 * the parts: kohya sd-scripts networks/lora.py, LyCORIS lycoris/modules/*.py, PEFT, and the older forms of diffusers.
 */

export type AdapterKind =
  'lora' | 'locon' | 'loha' | 'lokr' | 'ia3' | 'full' | 'norm' | 'oft' | 'boft' | 'glora' | 'incomplete'

const roles = {
  lora_down: /(\.lora_down|[._]lora\.down|\.lora_linear_layer\.down|\.lora_A(\.[^.]+)?)\.weight$/,
  lora_up: /(\.lora_up|[._]lora\.up|\.lora_linear_layer\.up|\.lora_B(\.[^.]+)?)\.weight$/,
  lora_mid: /\.lora_mid\.weight$/,
  alpha: /\.alpha$/,
  dora_scale: /\.dora_scale$|\.lora_magnitude_vector(\.[^.]+)?(\.weight)?$/,
  hada_w1_a: /\.hada_w1_a$/,
  hada_w1_b: /\.hada_w1_b$/,
  hada_w2_a: /\.hada_w2_a$/,
  hada_w2_b: /\.hada_w2_b$/,
  hada_t1: /\.hada_t1$/,
  hada_t2: /\.hada_t2$/,
  lokr_w1: /\.lokr_w1$/,
  lokr_w1_a: /\.lokr_w1_a$/,
  lokr_w1_b: /\.lokr_w1_b$/,
  lokr_w2: /\.lokr_w2$/,
  lokr_w2_a: /\.lokr_w2_a$/,
  lokr_w2_b: /\.lokr_w2_b$/,
  lokr_t2: /\.lokr_t2$/,
  oft_blocks: /\.oft_blocks$/,
  rescale: /\.rescale$/,
  diff: /\.diff$/,
  diff_b: /\.diff_b$/,
  w_norm: /\.w_norm$/,
  b_norm: /\.b_norm$/,
  a1: /\.a1\.weight$/,
  a2: /\.a2\.weight$/,
  b1: /\.b1\.weight$/,
  b2: /\.b2\.weight$/,
  on_input: /\.on_input$/,
} as const

/** The part of an adapter that a tensor is. `weight` is IA3's vector. */
export type Role = keyof typeof roles | 'weight'

const rolePatterns = Object.entries(roles) as [keyof typeof roles, RegExp][]

export interface KeyGroups {
  /** Tensor names by role, by the module's name in the file. */
  modules: Map<string, Map<Role, string>>
  /** Keys that are no part of any known adapter. */
  unknownKeys: string[]
}

/** Groups the keys of a file by module. */
export function groupKeys(keys: Iterable<string>): KeyGroups {
  const modules = new Map<string, Map<Role, string>>()
  const unclear: string[] = []
  for (const key of keys) {
    const found = roleOf(key)
    if (!found) {
      unclear.push(key)
      continue
    }
    const parts = modules.get(found.module) ?? new Map<Role, string>()
    parts.set(found.role, key)
    modules.set(found.module, parts)
  }
  // `.weight` alone says nothing; it is IA3's where the module also says on which side it applies.
  const unknownKeys = unclear.filter(key => {
    const parts = key.endsWith('.weight') ? modules.get(key.slice(0, -'.weight'.length)) : undefined
    if (!parts?.has('on_input')) return true
    parts.set('weight', key)
    return false
  })
  return { modules, unknownKeys }
}

function roleOf(key: string): { module: string; role: Role } | undefined {
  for (const [role, pattern] of rolePatterns) {
    const match = pattern.exec(key)
    if (match && match.index > 0) return { module: key.slice(0, match.index), role }
  }
  return undefined
}

/** The kind of adapter that a set of parts makes. A LoRA on a convolution with a kernel above 1x1 is a LoCon. */
export function kindOf(has: (role: Role) => boolean, shapeOf: (role: Role) => readonly number[]): AdapterKind {
  if (has('lora_down') && has('lora_up')) {
    const kernel = shapeOf(has('lora_mid') ? 'lora_mid' : 'lora_down').slice(2)
    return kernel.some(size => size > 1) ? 'locon' : 'lora'
  }
  if (has('hada_w1_a') && has('hada_w1_b') && has('hada_w2_a') && has('hada_w2_b')) return 'loha'
  const first = has('lokr_w1') || (has('lokr_w1_a') && has('lokr_w1_b'))
  if (first && (has('lokr_w2') || (has('lokr_w2_a') && has('lokr_w2_b')))) return 'lokr'
  if (has('a1') && has('a2') && has('b1') && has('b2')) return 'glora'
  if (has('oft_blocks')) return shapeOf('oft_blocks').length === 4 ? 'boft' : 'oft'
  if (has('on_input') && has('weight')) return 'ia3'
  if (has('w_norm')) return 'norm'
  if (has('diff') || has('diff_b')) return 'full'
  return 'incomplete'
}
