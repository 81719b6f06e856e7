/**
 * What a safetensors file holds: any file by its header, a LoRA by its values too. Plain data; `render-inspection.ts`
 * prints it.
 */
import { LorikeetError } from '../base/errors'
import { type Checkpoint, detectCheckpoint } from '../formats/checkpoint'
import type { Dtype } from '../formats/dtypes'
import { type LoraModule, parseLoraFile } from '../formats/lora-file'
import type { FamilyGuess } from '../formats/lora-family'
import { type LoraSummary, summariseMetadata } from '../formats/lora-summary'
import type { AdapterKind } from '../formats/lora-roles'
import { openSafetensors, readTensor, type SafetensorsFile } from '../formats/safetensors'
import { adapterNorm } from './adapter-norm'

export interface TensorSummary {
  name: string
  dtype: Dtype
  shape: number[]
  bytes: number
}

export interface Inspection {
  path: string
  fileBytes: number
  metadata: Record<string, string>
  /** In the order of the header. */
  tensors: TensorSummary[]
  dtypes: { dtype: Dtype; tensors: number; bytes: number }[]
  /** Present when the file holds adapters. */
  lora?: LoraInspection
  /** Present when the file is a base model that can be trained. */
  checkpoint?: Pick<Checkpoint, 'family' | 'layout' | 'predictionType'>
}

export interface ModuleInspection {
  name: string
  kind: AdapterKind
  dora: boolean
  rank?: number
  alpha?: number
  /** Frobenius norm of the change of the weight at strength 1; absent where it depends on the base. */
  norm?: number
}

export interface LoraInspection {
  base?: FamilyGuess
  summary: LoraSummary
  style: string
  kinds: { kind: AdapterKind; dora: boolean; modules: number }[]
  ranks: { rank: number; alpha: number; modules: number }[]
  /** How many modules of each sort, such as attn1_to_q, in which network. */
  targets: { network: string; target: string; modules: number }[]
  /** Root of the summed squares of the modules' norms. */
  blocks: { block: string; norm: number; modules: number }[]
  modules: ModuleInspection[]
  nonFinite: { tensor: string; values: number }[]
  /** Tensors of zeros only: up matrices of zeros were never trained. */
  zero: string[]
  /** Tensors without elements. */
  empty: string[]
  unknownKeys: string[]
  incomplete: string[]
  /** Modules whose own parts do not fit each other. */
  contradictory: string[]
}

/**
 * @throws LorikeetError (input) when the file is no sound safetensors file
 */
export function inspectFile(path: string): Inspection {
  const file = openSafetensors(path)
  const tensors = [...file.tensors.values()].map(({ name, dtype, shape, bytes }) => ({ name, dtype, shape, bytes }))
  return {
    path,
    fileBytes: file.fileBytes,
    metadata: file.metadata,
    tensors,
    dtypes: tally(tensors, ({ dtype }) => dtype).map(([dtype, list]) => ({
      dtype: dtype as Dtype,
      tensors: list.length,
      bytes: list.reduce((sum, { bytes }) => sum + bytes, 0),
    })),
    lora: inspectLora(file),
    checkpoint: asCheckpoint(path),
  }
}

function asCheckpoint(path: string): Inspection['checkpoint'] {
  try {
    const { family, layout, predictionType } = detectCheckpoint(path)
    return { family, layout, predictionType }
  } catch (error) {
    if (error instanceof LorikeetError) return undefined // no base model, which is what the absence says
    throw error
  }
}

function inspectLora(file: SafetensorsFile): LoraInspection | undefined {
  const lora = parseLoraFile(file)
  if (lora.modules.size + lora.incomplete.length + lora.mismatched.length === 0) return undefined
  const modules = [...lora.modules.values()]
  const inspected = modules.map(module => inspectModule(file, module))
  const ranked = modules.filter(({ rank }) => rank !== undefined)
  return {
    base: lora.family,
    summary: summariseMetadata(file.metadata),
    style: lora.style,
    kinds: tally(modules, ({ kind, dora }) => `${kind} ${dora}`).map(([, list]) => ({
      kind: list[0].kind,
      dora: list[0].dora,
      modules: list.length,
    })),
    ranks: tally(ranked, ({ rank, alpha }) => `${rank} ${alpha}`).map(([, list]) => ({
      rank: list[0].rank ?? 0,
      alpha: list[0].alpha ?? 0,
      modules: list.length,
    })),
    targets: tally(modules, module => `${networkOf(module.rawName)} ${targetOf(module.rawName)}`).map(([, list]) => ({
      network: networkOf(list[0].rawName),
      target: targetOf(list[0].rawName),
      modules: list.length,
    })),
    blocks: blockNorms(inspected),
    modules: inspected,
    ...checkValues(file),
    unknownKeys: lora.unknownKeys,
    incomplete: lora.incomplete,
    contradictory: lora.mismatched.map(({ module }) => module),
  }
}

function inspectModule(file: SafetensorsFile, module: LoraModule): ModuleInspection {
  const norm = adapterNorm(module, role => {
    const tensor = file.tensors.get(module.tensors.get(role) ?? '')
    return tensor && { values: readTensor(file, tensor.name), shape: tensor.shape }
  })
  const { rawName: name, kind, dora, rank, alpha } = module
  return { name, kind, dora, rank, alpha, norm }
}

function checkValues(file: SafetensorsFile): Pick<LoraInspection, 'nonFinite' | 'zero' | 'empty'> {
  const result: Pick<LoraInspection, 'nonFinite' | 'zero' | 'empty'> = { nonFinite: [], zero: [], empty: [] }
  for (const { name, bytes, shape } of file.tensors.values()) {
    if (bytes === 0) {
      result.empty.push(name)
      continue
    }
    const values = readTensor(file, name)
    let bad = 0
    let zero = true
    for (const value of values) {
      if (!Number.isFinite(value)) bad++
      if (value !== 0) zero = false
    }
    if (bad > 0) result.nonFinite.push({ tensor: name, values: bad })
    if (zero && shape.length > 0) result.zero.push(name) // a single number may well be 0
  }
  return result
}

function blockNorms(modules: readonly ModuleInspection[]): LoraInspection['blocks'] {
  const known = modules.filter(({ norm }) => norm !== undefined)
  const blocks = tally(known, ({ name }) => blockOf(name)).map(([block, list]) => ({
    block,
    norm: Math.sqrt(list.reduce((sum, { norm }) => sum + (norm ?? 0) ** 2, 0)),
    modules: list.length,
  }))
  return blocks.sort((a, b) => a.block.localeCompare(b.block, 'en', { numeric: true }))
}

function networkOf(name: string): string {
  const joined = name.replaceAll('.', '_')
  const encoder = /^(?:lora|lycoris)_te(\d?)_|^text_encoder(?:_(\d))?_/.exec(joined)
  if (encoder) return `text encoder${encoder[1] || encoder[2] ? ` ${encoder[1] || encoder[2]}` : ''}`
  if (/text_model_/.test(joined)) return 'text encoder'
  const transformer = /double_blocks_|single_blocks_|transformer_blocks_\d+_attn_|^transformer_/
  return transformer.test(joined) ? 'transformer' : 'unet'
}

/** The part of the network that a module lies in, whatever the style of its name: `down_blocks.1`, `layers.3`. */
function blockOf(name: string): string {
  const joined = name.replaceAll('.', '_')
  const pattern =
    /((?:down|up|input|output|double|single|single_transformer)_blocks|layers)_(\d+)|mid_block|middle_block/
  const found = pattern.exec(joined) ?? /(transformer_blocks)_(\d+)/.exec(joined)
  const block = found ? (found[1] ? `${found[1]}.${found[2]}` : found[0]) : 'others'
  return `${networkOf(name)} ${block}`
}

/** What a module does in its block: the name behind the last numbered container. */
function targetOf(name: string): string {
  const joined = name.replaceAll('.', '_')
  const numbered = /(attn\d?_to_(?:q|k|v|out_0)|ff_net_\d(?:_proj)?|(?:in|out|emb)_layers_\d|to_(?:q|k|v|out_0))$/
  const found = numbered.exec(joined)
  return found ? found[1] : joined.replace(/^.*_\d+_(?=\D)/, '')
}

/** Groups in order of first appearance. */
function tally<T>(items: readonly T[], keyOf: (item: T) => string): [string, T[]][] {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const group = groups.get(keyOf(item))
    if (group) group.push(item)
    else groups.set(keyOf(item), [item])
  }
  return [...groups]
}
