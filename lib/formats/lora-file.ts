/** Reading a LoRA file of any naming style onto the modules of a base model. */
import { LorikeetError } from '../base/errors'
import type { Checkpoint } from './checkpoint'
import {
  type LoraNameStyle,
  type LoraNetwork,
  type ModuleLookup,
  moduleLookup,
  splitModuleName,
} from './keymaps/kohya'
import { detectLoraFamily, familyTitles, type FamilyGuess, type LoraFamily } from './lora-family'
import { type AdapterKind, groupKeys, kindOf, type Role } from './lora-roles'
import { adapterRank, adapterSize, fits } from './lora-shapes'
import { peftAlpha } from './peft-config'
import { readTensor, type SafetensorsFile } from './safetensors'

export interface LoraModule {
  /** The module's name in the file, without the part's suffix. */
  rawName: string
  network: LoraNetwork
  /** The module's path inside its network; undefined when no base was given. */
  path: string | undefined
  kind: AdapterKind
  /** Whether the weight is also decomposed into magnitude and direction (DoRA). */
  dora: boolean
  /** Undefined for kinds without one. */
  rank: number | undefined
  /** The change of the weight is scaled by alpha / rank; equal to the rank where the file says nothing or 0. */
  alpha: number | undefined
  /** alpha / rank; 1 for kinds without a rank. */
  scale: number
  /** Tensor names in the file by role. */
  tensors: Map<Role, string>
}

export interface ShapeMismatch {
  module: string
  /** The base's weight. */
  expected: readonly number[]
  /** What the adapter makes, [out, in x kernel], or `contradiction` when its own parts do not fit each other. */
  received: readonly number[] | 'contradiction'
}

export interface LoraFile {
  file: SafetensorsFile
  /** By `unet.<path>` or `te.<path>`; without a base, by the name in the file. */
  modules: Map<string, LoraModule>
  /** Keys that are no part of any known adapter. */
  unknownKeys: string[]
  /** Names of modules that the base does not have. */
  unmatched: string[]
  /** Modules whose shapes differ from the base's; they are not in `modules`. */
  mismatched: ShapeMismatch[]
  /** Names of modules of which parts are missing; they are not in `modules`. */
  incomplete: string[]
  style: LoraNameStyle
  family: FamilyGuess | undefined
}

/** Shapes of the base's weights by `unet.<module path>` and `te.<module path>`. */
export type BaseModules = ReadonlyMap<string, readonly number[]>

/** Every module of a checkpoint that has a weight. */
export function baseModules({ components }: Checkpoint): BaseModules {
  const modules = new Map<string, readonly number[]>()
  for (const [network, component] of [['unet', components.unet], ['te', components.textEncoder]] as const) {
    for (const [name, { shape }] of component.tensors) {
      if (name.endsWith('.weight')) modules.set(`${network}.${name.slice(0, -'.weight'.length)}`, shape)
    }
  }
  return modules
}

/**
 * Finds the modules of a LoRA file. Only the alphas are read.
 * @param base the base's modules; without them nothing is matched and modules keep their names
 * @throws LorikeetError (input) when two names mean one module, or an alpha is no number. Everything else is reported
 *   in the result; `requireLoraFits` turns it into an error
 */
export function parseLoraFile(file: SafetensorsFile, base?: BaseModules): LoraFile {
  const { modules: groups, unknownKeys } = groupKeys(file.tensors.keys())
  const lookup = base && moduleLookup({ unet: pathsOf(base, 'unet'), te: pathsOf(base, 'te') })
  const family = detectLoraFamily(file.tensors.values(), file.metadata)
  const result: LoraFile =
    { file, modules: new Map(), unknownKeys, unmatched: [], mismatched: [], incomplete: [], style: 'bare', family }
  const styles = new Map<LoraNameStyle, number>()
  for (const [rawName, tensors] of groups) {
    const { style } = splitModuleName(rawName)
    styles.set(style, (styles.get(style) ?? 0) + 1)
    placeModule(result, rawName, tensors, base, lookup)
  }
  result.style = [...styles].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 'bare'
  return result
}

function* pathsOf(base: BaseModules, network: LoraNetwork): Generator<string> {
  for (const key of base.keys()) if (key.startsWith(`${network}.`)) yield key.slice(network.length + 1)
}

function placeModule(
  result: LoraFile,
  rawName: string,
  tensors: Map<Role, string>,
  base: BaseModules | undefined,
  lookup: ModuleLookup | undefined,
): void {
  const { file } = result
  const shape = (role: Role) => file.tensors.get(tensors.get(role) ?? '')?.shape
  const kind = kindOf(role => tensors.has(role), role => shape(role) ?? [])
  if (kind === 'incomplete') {
    result.incomplete.push(rawName)
    return
  }
  const name = splitModuleName(rawName)
  const address = lookup?.(name)
  if (lookup && !address) {
    result.unmatched.push(rawName)
    return
  }
  const key = address ? `${address.network}.${address.path}` : rawName
  const weight = base?.get(key)
  const size = adapterSize(kind, shape)
  if (size === 'contradiction' || (weight && !fits(kind, shape, weight))) {
    result.mismatched.push({ module: key, expected: weight ?? [], received: size ?? [] })
    return
  }
  if (result.modules.has(key)) {
    const names = `${result.modules.get(key)?.rawName} and ${rawName}`
    throw new LorikeetError('input', `two names mean the module ${key}: ${names}`, { where: file.path })
  }
  const rank = adapterRank(kind, shape)
  const stated = readAlpha(file, tensors.get('alpha')) ?? peftAlpha(file.metadata, name, rank)
  const alpha = stated || rank
  result.modules.set(key, {
    rawName,
    network: address?.network ?? (name.network === 'te' ? 'te' : 'unet'),
    path: address?.path,
    kind,
    dora: tensors.has('dora_scale'),
    rank,
    alpha,
    // LoKr with both factors whole has an alpha but no rank; its change is not scaled (LyCORIS
    // modules/lokr.py:209-211).
    scale: alpha === undefined || rank === undefined ? 1 : alpha / rank,
    tensors,
  })
}

function readAlpha(file: SafetensorsFile, name: string | undefined): number | undefined {
  const tensor = name === undefined ? undefined : file.tensors.get(name)
  if (!tensor) return undefined
  const values = tensor.shape.every(size => size === 1) ? readTensor(file, tensor.name) : []
  if (values.length === 1 && Number.isFinite(values[0])) return values[0]
  throw new LorikeetError('input', `${tensor.name} is wrong`, {
    where: file.path,
    expected: 'one number',
    received: values.length === 1 ? String(values[0]) : `shape [${tensor.shape.join(', ')}]`,
    fix: 'The file is damaged: fetch it again',
  })
}

/**
 * @param family of the base
 * @throws LorikeetError (input) unless every adapter of the file has its place in the base: for a LoRA of another
 *   family, of other widths, with damaged modules, or with adapters for modules that the base lacks
 */
export function requireLoraFits(lora: LoraFile, family: LoraFamily): void {
  const where = lora.file.path
  const { modules, unmatched, mismatched, incomplete, unknownKeys } = lora
  const wrong = unmatched.length + mismatched.length
  if (lora.family && lora.family.family !== family && (wrong > 0 || modules.size === 0)) {
    const { family: made, because } = lora.family
    throw new LorikeetError('input', `this LoRA was made for ${familyTitles[made]}: ${because}`, {
      where,
      expected: `a LoRA for ${familyTitles[family]}`,
      fix: 'Use it with a base model of its own family',
    })
  }
  if (modules.size + wrong + incomplete.length === 0) {
    const received = `keys such as ${unknownKeys.slice(0, 2).join(', ') || 'none at all'}`
    throw new LorikeetError('input', 'this is not a LoRA file', { where, expected: 'adapter weights', received })
  }
  if (incomplete.length > 0) {
    const fix = 'The file is damaged: fetch it again'
    throw new LorikeetError('input', `parts of ${some(incomplete)} are missing`, { where, fix })
  }
  if (mismatched.length > 0) {
    const { module, expected, received } = mismatched[0]
    const more = mismatched.length > 1 ? ` and ${mismatched.length - 1} more` : ''
    throw new LorikeetError('input', `the LoRA does not fit the base at ${module}${more}`, {
      where,
      expected: `a weight [${expected.join(', ')}]`,
      received: received === 'contradiction' ? 'parts that do not fit each other' : `[${received.join(', ')}]`,
      fix: 'Use it with the base model that it was trained on, or one of the same widths',
    })
  }
  if (unmatched.length > 0) {
    throw new LorikeetError('input', `the base has no module for ${some(unmatched)}`, {
      where,
      fix: `Use it with the base model that it was trained on; this one is ${familyTitles[family]}`,
    })
  }
}

function some(names: readonly string[]): string {
  return names.slice(0, 3).join(', ') + (names.length > 3 ? ` and ${names.length - 3} more` : '')
}
