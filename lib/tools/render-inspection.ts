/** An inspection as text for people. */
import { formatBytes } from '../base/units'
import { familyTitles } from '../formats/lora-family'
import type { Inspection, LoraInspection, TensorSummary } from './inspect'

export interface RenderOptions {
  /** Lists every tensor and every metadata entry in full. */
  all?: boolean
}

/** Many lines, without a newline at the end. Text from the file is freed of control characters. */
export function renderInspection(data: Inspection, { all = false }: RenderOptions = {}): string {
  const dtypes = data.dtypes.map(({ dtype, tensors }) => `${tensors} ${dtype}`).join(', ')
  const lines = [`${data.path}: ${formatBytes(data.fileBytes)}, ${data.tensors.length} tensors (${dtypes || 'none'})`]
  if (data.checkpoint) {
    const { family, predictionType } = data.checkpoint
    lines.push(`Base model: ${familyTitles[family]}, predicts ${predictionType ?? 'epsilon (not stated)'}`)
  }
  if (data.lora) lines.push(...renderLora(data.lora))
  if (!data.lora || all) lines.push('', 'Tensors', ...renderTensors(data.tensors, all))
  lines.push(...renderMetadata(data.metadata, all))
  return clean(lines.join('\n'))
}

function renderLora(lora: LoraInspection): string[] {
  const { summary } = lora
  const kinds = lora.kinds.map(({ kind, dora, modules }) => `${modules} ${kind}${dora ? ' with DoRA' : ''}`)
  const base = lora.base ? `${familyTitles[lora.base.family]} (${lora.base.because})` : 'not known'
  const facts: [string, string | number | undefined][] = [
    ['title', summary.title],
    ['kinds', kinds.join(', ')],
    ['base', base],
    ['base file', summary.baseName],
    ['names', lora.style],
    ['rank/alpha', lora.ranks.map(({ rank, alpha, modules }) => `${rank}/${round(alpha)} (${modules})`).join(', ')],
    ['trigger', summary.triggerPhrase],
    ['tags', summary.tags.slice(0, 20).map(({ tag, count }) => `${tag} (${count})`).join(', ')],
    ['trained', trained(lora)],
    ['predicts', summary.predictionType],
    ['targets', lora.targets.map(({ network, target, modules }) => `${network} ${target} (${modules})`).join(', ')],
  ]
  const lines = ['', 'LoRA']
  for (const [name, value] of facts) {
    if (value !== undefined && value !== '') lines.push(`  ${name.padEnd(11)}${value}`)
  }
  if (lora.blocks.length > 0) lines.push('', 'Norm of the change, by block', ...renderBlocks(lora.blocks))
  return [...lines, ...renderProblems(lora)]
}

function trained({ summary }: LoraInspection): string {
  const { steps, epoch, images, resolution, basePrecision } = summary
  const parts = [
    steps !== undefined && `${steps} steps`,
    epoch !== undefined && `${epoch} epochs`,
    images !== undefined && `${images} images`,
    resolution !== undefined && resolution,
    basePrecision !== undefined && `on a base in ${basePrecision}`,
  ]
  return parts.filter(Boolean).join(', ')
}

function renderBlocks(blocks: LoraInspection['blocks']): string[] {
  const width = Math.max(...blocks.map(({ block }) => block.length))
  const largest = Math.max(...blocks.map(({ norm }) => (Number.isFinite(norm) ? norm : 0)))
  return blocks.map(({ block, norm, modules }) => {
    const bar = largest > 0 && Number.isFinite(norm) ? '#'.repeat(Math.round((24 * norm) / largest)) : ''
    const count = `${String(modules).padStart(4)} modules`
    return `  ${block.padEnd(width)}  ${round(norm).padStart(9)}  ${count}  ${bar}`.trimEnd()
  })
}

function renderProblems(lora: LoraInspection): string[] {
  const { nonFinite, zero, empty, unknownKeys, incomplete, contradictory } = lora
  const untrained = zero.length > 0 && zero.every(name => /lora_(up|B)|lora\.up|hada_w2_a|lokr_w2/.test(name))
  const bad = nonFinite.map(({ tensor, values }) => `${tensor} (${values})`)
  const list: [number, string, string[]][] = [
    [nonFinite.length, 'tensors with NaN or infinite values', bad],
    [zero.length, untrained ? 'tensors of zeros, as before the first step' : 'tensors of zeros', zero],
    [empty.length, 'tensors without elements', empty],
    [incomplete.length, 'modules with parts missing', incomplete],
    [contradictory.length, 'modules whose parts do not fit each other', contradictory],
    [unknownKeys.length, 'keys of no known adapter', unknownKeys],
  ]
  const found = list.filter(([count]) => count > 0)
  if (found.length === 0) return ['', 'No NaN, no infinite, no empty and no all-zero tensors.']
  return ['', 'Problems', ...found.map(([count, what, names]) => `  ${count} ${what}: ${few(names)}`)]
}

function few(names: readonly string[]): string {
  return names.slice(0, 3).join(', ') + (names.length > 3 ? ', ...' : '')
}

function renderTensors(tensors: readonly TensorSummary[], all: boolean): string[] {
  const shown = all ? tensors : tensors.slice(0, 40)
  const width = Math.max(0, ...shown.map(({ name }) => Math.min(name.length, 90)))
  const lines = shown.map(
    ({ name, dtype, shape }) => `  ${name.padEnd(width)}  ${dtype.padEnd(8)}[${shape.join(', ')}]`,
  )
  return shown.length < tensors.length ? [...lines, `  and ${tensors.length - shown.length} more`] : lines
}

function renderMetadata(metadata: Record<string, string>, all: boolean): string[] {
  const entries = Object.entries(metadata)
  if (entries.length === 0) return []
  const lines = entries.map(([key, value]) => {
    const line = value.replaceAll('\n', ' ')
    return `  ${key} = ${all || line.length <= 80 ? line : `${line.slice(0, 77)}...`}`
  })
  return ['', 'Metadata', ...lines]
}

function round(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(4))) : String(value)
}

/** A name or a comment in a file must not be able to steer a terminal. */
function clean(text: string): string {
  return text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '\ufffd')
}
