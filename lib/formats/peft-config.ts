/**
 * The PEFT configuration that diffusers keeps in a LoRA file's metadata, under `lora_adapter_metadata`: a JSON object
 * with keys `<component>.<option>`, such as `unet.lora_alpha`. PEFT files have no alpha tensors, so this is where alpha
 * stands.
 */
import type { RawModuleName } from './keymaps/kohya'

/**
 * Alpha of a module as kohya's files would give it (the change is scaled by alpha / rank), or undefined when nothing
 * says. With rank-stabilised scaling (Kalajdzievski 2023, arXiv:2312.03732) PEFT divides by sqrt(rank) instead.
 */
export function peftAlpha(
  metadata: Readonly<Record<string, string>>,
  { network, rest }: RawModuleName,
  rank: number | undefined,
): number | undefined {
  const config = parse(metadata.lora_adapter_metadata)
  if (!config || rank === undefined || network === 'other') return undefined
  const component = network === 'te' ? 'text_encoder' : 'unet'
  const option = (name: string) => config[`${component}.${name}`]
  const alpha = patternValue(option('alpha_pattern'), rest) ?? option('lora_alpha')
  if (typeof alpha !== 'number' || !Number.isFinite(alpha)) return undefined
  return option('use_rslora') === true ? alpha * Math.sqrt(rank) : alpha
}

/** PEFT takes the pattern whose key is the module's path or ends it at a dot. */
function patternValue(pattern: unknown, path: string): unknown {
  if (typeof pattern !== 'object' || pattern === null) return undefined
  return Object.entries(pattern).find(([key]) => path === key || path.endsWith(`.${key}`))?.[1]
}

function parse(text: string | undefined): Record<string, unknown> | undefined {
  if (text === undefined) return undefined
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined // as good as absent: alpha then equals the rank, as in a file without it
  }
}
