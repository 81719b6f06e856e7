/**
 * Changing the keys of a LoRA file: kohya's (`lora_unet_..._to_q.lora_down.weight`, `.alpha`) to those of PEFT and
 * diffusers (`unet....to_q.lora_A.weight`) and back. Values keep their bits.
 *
 * PEFT files have no tensor for alpha. diffusers' load_lora_weights takes it from the metadata `lora_adapter_metadata`
 * (utils/state_dict_utils.py:540-550), whose entries under `unet.` and `text_encoder.` become the arguments of PEFT's
 * LoraConfig (loaders/peft.py:196-197, utils/peft_utils.py:371-391). So rank, alpha and targets of both networks stand
 * there. Without it alpha is the rank.
 */
import { LorikeetError } from '../base/errors'
import { decodeToF32, encodeFromF32, type FloatDtype } from '../formats/dtypes'
import {
  kohyaModuleName,
  type LoraNetwork,
  moduleLookup,
  peftModuleName,
  splitModuleName,
} from '../formats/keymaps/kohya'
import { clipTensorNames, unetTensorNames } from '../formats/keymaps/topology'
import { familyTitles } from '../formats/lora-family'
import { type LoraModule, type LoraFile, parseLoraFile } from '../formats/lora-file'
import { modelHashes } from '../formats/model-hashes'
import { openSafetensors, readTensorRaw, type TensorData, writeSafetensors } from '../formats/safetensors'
import { checkTarget, sizeOf, writeTarget } from './convert-target'

export type LoraKeys = 'kohya' | 'peft'

export interface ConvertLoraOptions {
  to: LoraKeys
  /** The file, whose name ends in .safetensors. */
  out: string
  /** Replace the file that is there. */
  overwrite?: boolean
}

export interface ConvertedLora {
  input: string
  /** How the input names its modules. */
  from: LoraFile['style']
  to: LoraKeys
  out: string
  modules: number
  bytes: number
  notes: string[]
}

interface Placed {
  network: LoraNetwork
  path: string
  rank: number
  alpha: number
  down: string
  up: string
}

/**
 * @throws LorikeetError (input) when the file is no LoRA for Stable Diffusion 1.x, or holds what the other keys cannot
 *   say, such as DoRA or LoHa; (usage) when the output is taken or is the input; (failed) when the system refuses
 */
export function convertLora(input: string, { to, out, overwrite = false }: ConvertLoraOptions): ConvertedLora {
  const file = openSafetensors(input)
  const lora = parseLoraFile(file)
  refuseOthers(lora)
  const target = { out, kind: 'file', overwrite, input, inputFiles: [] } as const
  checkTarget(target)
  const find = sd15Modules()
  const modules = [...lora.modules.values()].map((module) => place(input, module, find))
  const tensors = modules.flatMap((module) => renamed(lora, module, to))
  const metadata = metadataFor(file.metadata, modules, tensors, to)
  let bytes = 0
  writeTarget(
    target,
    (file) => writeSafetensors(file, tensors, metadata),
    (file) => {
      checkAlphas(file, modules, find)
      bytes = sizeOf(file)
    },
  )
  return { input, from: lora.style, to, out, modules: modules.length, bytes, notes: notesOn(modules, to) }
}

function refuseOthers({ file, family, modules, unknownKeys, incomplete, mismatched }: LoraFile): void {
  const where = file.path
  const refuse = (problem: string, details: { expected?: string; received?: string; fix: string }): never => {
    throw new LorikeetError('input', problem, { where, ...details })
  }
  if (modules.size + incomplete.length + mismatched.length === 0) {
    const isBase = unknownKeys.some((key) => key.startsWith('model.diffusion_model.'))
    refuse(isBase ? 'this is a base model, not a LoRA file' : 'this is not a LoRA file', {
      expected: 'adapter weights',
      received: `keys such as ${unknownKeys.slice(0, 2).join(', ') || 'none at all'}`,
      fix: isBase ? 'Convert it with --to diffusers or --to single-file' : 'Give a LoRA file',
    })
  }
  if (family && family.family !== 'sd15') {
    refuse(`this LoRA was made for ${familyTitles[family.family]}: ${family.because}`, {
      expected: `a LoRA for ${familyTitles.sd15}`,
      fix: 'LoRAs of other families cannot be converted yet',
    })
  }
  const broken = incomplete[0] ?? mismatched[0]?.module
  if (broken !== undefined)
    refuse(`parts of ${broken} are missing or do not fit`, { fix: 'The file is damaged: fetch it again' })
  const other = [...modules.values()].find(
    ({ kind, dora, tensors }) => (kind !== 'lora' && kind !== 'locon') || dora || tensors.has('lora_mid'),
  )
  if (other) {
    const kind = other.dora ? 'DoRA' : other.tensors.has('lora_mid') ? 'LoCon in Tucker form' : other.kind
    refuse(`${other.rawName} is of the kind ${kind}`, {
      expected: 'LoRA or LoCon',
      fix: 'Only these have keys of both styles',
    })
  }
  if (unknownKeys.length > 0) {
    refuse(`the key ${unknownKeys[0]} is no part of a LoRA`, { fix: 'It would be lost: remove it from the file first' })
  }
}

type Find = ReturnType<typeof moduleLookup>

/**
 * Names are looked up among more levels and layers than any model has, as a file does not say which its base has: the
 * names of a smaller model are the same.
 */
function sd15Modules(): Find {
  const levels = [1, 1, 1, 1, 1, 1]
  const modules = (names: string[]) =>
    names.filter((n) => n.endsWith('.weight')).map((n) => n.slice(0, -'.weight'.length))
  const find = moduleLookup({
    unet: modules(unetTensorNames({ layersPerBlock: 4, down: levels, mid: 1, up: levels }, () => true)),
    te: modules(clipTensorNames({ layers: 32 })),
  })
  // The original layout counts blocks in one row, so its numbers mean something only for a given model.
  return (name) =>
    /^(input_blocks|middle_block|output_blocks|time_embed|out)[._]\d/.test(name.rest) ? undefined : find(name)
}

function place(where: string, module: LoraModule, find: Find): Placed {
  const { rawName, rank, alpha, tensors } = module
  const found = find(splitModuleName(rawName))
  const [down, up] = [tensors.get('lora_down'), tensors.get('lora_up')]
  if (found && rank !== undefined && alpha !== undefined && down !== undefined && up !== undefined) {
    return { ...found, rank, alpha, down, up }
  }
  throw new LorikeetError('input', `${rawName} is no module of Stable Diffusion 1.x under its name in diffusers`, {
    where,
    expected: 'such as down_blocks.0.attentions.0.proj_in of the UNet or of the text encoder',
    fix: 'LoRAs with block numbers of the original layout, or for other models, cannot be converted',
  })
}

function renamed({ file }: LoraFile, { network, path, alpha, down, up }: Placed, to: LoraKeys): TensorData[] {
  const name = to === 'kohya' ? kohyaModuleName(network, path) : peftModuleName(network, path)
  const [downSuffix, upSuffix] = to === 'kohya' ? ['lora_down', 'lora_up'] : ['lora_A', 'lora_B']
  const copy = (key: string, suffix: string): TensorData => {
    const { dtype, shape } = file.tensors.get(key)!
    return { name: `${name}.${suffix}.weight`, dtype, shape, data: () => readTensorRaw(file, key) }
  }
  const weights = [copy(down, downSuffix), copy(up, upSuffix)]
  if (to === 'peft') return weights
  const dtype = exactDtype(weights[0]!.dtype, alpha)
  return [...weights, { name: `${name}.alpha`, dtype, shape: [], data: Float32Array.of(alpha) }]
}

/** The weights' dtype, as kohya's tools write alpha, unless it cannot say the number. */
function exactDtype(dtype: TensorData['dtype'], alpha: number): FloatDtype {
  const narrow = dtype === 'F16' || dtype === 'BF16' ? dtype : 'F32'
  const [read] = decodeToF32(narrow, encodeFromF32(narrow, Float32Array.of(alpha)))
  return read === Math.fround(alpha) ? narrow : 'F32'
}

const adapterKey = 'lora_adapter_metadata'
const hashKey = 'sshs_model_hash'

function metadataFor(
  original: Readonly<Record<string, string>>,
  modules: readonly Placed[],
  tensors: readonly TensorData[],
  to: LoraKeys,
): Record<string, string> {
  const { [adapterKey]: _old, ...kept } = original
  const metadata = to === 'kohya' ? kept : { format: 'pt', ...kept, [adapterKey]: adapterConfig(modules) }
  // The hash is over the tensors as they lie in the file.
  return to === 'kohya' || original[hashKey] !== undefined
    ? { ...metadata, ...modelHashes(tensors, metadata) }
    : metadata
}

/** What LoraConfig needs for each network that the file adapts: the commonest rank and alpha, and the exceptions. */
function adapterConfig(modules: readonly Placed[]): string {
  const networks = [
    ['unet', 'unet'],
    ['te', 'text_encoder'],
  ] as const
  const entries = networks.flatMap(([network, prefix]) => {
    const own = modules.filter((module) => module.network === network)
    if (own.length === 0) return []
    const [r, alpha] = [commonest(own.map(({ rank }) => rank)), commonest(own.map((module) => module.alpha))]
    const pattern = (key: 'rank' | 'alpha', usual: number) =>
      Object.fromEntries(own.filter((module) => module[key] !== usual).map((module) => [module.path, module[key]]))
    return [
      [`${prefix}.alpha_pattern`, pattern('alpha', alpha)],
      [`${prefix}.lora_alpha`, alpha],
      [`${prefix}.r`, r],
      [`${prefix}.rank_pattern`, pattern('rank', r)],
      [`${prefix}.target_modules`, own.map(({ path }) => path)],
    ]
  })
  return JSON.stringify(Object.fromEntries(entries))
}

function commonest(values: readonly number[]): number {
  const counts = new Map<number, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 1
}

/** The written file, read like any other, must give every module its rank and alpha. */
function checkAlphas(file: string, modules: readonly Placed[], find: Find): void {
  const written = parseLoraFile(openSafetensors(file))
  const placed = [...written.modules.values()].map((module) => place(file, module, find))
  const found = new Map(placed.map((module) => [`${module.network}.${module.path}`, module]))
  for (const { network, path, rank, alpha } of modules) {
    const module = found.get(`${network}.${path}`)
    if (module?.rank === rank && Math.fround(module.alpha) === Math.fround(alpha)) continue
    throw new LorikeetError('failed', `the file read back differs from the input at ${network}.${path}`, {
      where: file,
      fix: 'Nothing was written. This is a fault of Lorikeet: please report it with the output of lorikeet inspect',
    })
  }
}

function notesOn(modules: readonly Placed[], to: LoraKeys): string[] {
  if (to === 'kohya' || modules.every(({ rank, alpha }) => rank === alpha)) return []
  const note = 'Alpha differs from the rank: it stands in the metadata, where diffusers reads it'
  return [`${note}. Programs that do not read it there take the rank for it`]
}
