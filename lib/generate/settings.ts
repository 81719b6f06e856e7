/**
 * The settings of a picture as text, in the form that AUTOMATIC1111 writes into PNG files under the keyword `parameters` and
 * that most other tools read:
 *
 *     prompt <lora:name:0.8:0.8>
 *     Negative prompt: ...
 *     Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, Model: name, Clip skip: 2, Version: lorikeet 0.1.0
 */
import * as path from 'node:path'
import { samplers } from '../diffusion/samplers'
import { packageVersion } from '../native-loader'
import { parsePrompt } from '../text/prompt'

export interface UsedLora {
  /** File name without folder and ending. */
  name: string
  strength: number
  clipStrength: number
}

export interface GenerationSettings {
  /** Without LoRA tags. */
  prompt: string
  negativePrompt: string
  steps: number
  /** Name on the command line. */
  sampler: string
  cfg: number
  seed: number
  width: number
  height: number
  clipSkip: number
  /** File or folder name of the base. */
  model: string
  loras: UsedLora[]
}

/** `models/foo.safetensors` -> `foo`: names in files tell nothing about the folders of the person who made them. */
export function modelName(location: string): string {
  return path.basename(location.replace(/[\\/]+$/, '')).replace(/\.safetensors$/i, '')
}

export function renderSettings(settings: GenerationSettings): string {
  const tags = settings.loras.map(({ name, strength, clipStrength }) => `<lora:${name}:${clipStrength}:${strength}>`)
  const label = samplers.find(({ name }) => name === settings.sampler)?.label ?? settings.sampler
  const facts: [string, string | number][] = [
    ['Steps', settings.steps],
    ['Sampler', label],
    ['CFG scale', settings.cfg],
    ['Seed', settings.seed],
    ['Size', `${settings.width}x${settings.height}`],
    ['Model', quote(settings.model)],
    ...(settings.clipSkip === 1 ? [] : [['Clip skip', settings.clipSkip] as [string, number]]),
    ['Version', `lorikeet ${packageVersion()}`],
  ]
  return [
    [settings.prompt, ...tags].filter(Boolean).join(' '),
    ...(settings.negativePrompt ? [`Negative prompt: ${settings.negativePrompt}`] : []),
    facts.map(([key, value]) => `${key}: ${value}`).join(', '),
  ].join('\n')
}

/** Values with commas or colons are written as JSON, as AUTOMATIC1111 does. */
function quote(value: string): string {
  return /[,:\n"]/.test(value) ? JSON.stringify(value) : value
}

/** What of the settings a text states; also of pictures that other tools made. */
export function parseSettings(text: string): Partial<GenerationSettings> {
  const lines = text.split('\n')
  const factLine = lines.findLastIndex((line) => /^\s*Steps: \d/.test(line))
  const body = (factLine < 0 ? lines : lines.slice(0, factLine)).join('\n')
  const [positive = '', negative = ''] = body.split(/^Negative prompt: ?/m)
  const facts = new Map(
    [...(lines[factLine] ?? '').matchAll(/([\w ]+): ("(?:\\.|[^"\\])*"|[^,]*)(?:, |$)/g)].map(([, key, value]) => [
      key!.trim(),
      value!.startsWith('"') ? unquote(value!) : value!.trim(),
    ]),
  )
  return { ...splitTags(positive), negativePrompt: negative.trim(), ...readFacts(facts) }
}

function unquote(text: string): string {
  try {
    return String(JSON.parse(text))
  } catch {
    return text
  }
}

/** Tags of other tools may be written differently; a prompt with such a one is left whole. */
function splitTags(text: string): Pick<GenerationSettings, 'prompt' | 'loras'> {
  try {
    const { text: prompt, loras } = parsePrompt(text)
    return { prompt: prompt.trim(), loras }
  } catch {
    return { prompt: text.trim(), loras: [] }
  }
}

function readFacts(facts: ReadonlyMap<string, string>): Partial<GenerationSettings> {
  const number = (key: string) => {
    const value = facts.get(key)
    return value !== undefined && value !== '' && Number.isFinite(Number(value)) ? Number(value) : undefined
  }
  const [, width, height] = /^(\d+)x(\d+)$/.exec(facts.get('Size') ?? '') ?? []
  const sampler = facts.get('Sampler')
  const found: Partial<Record<keyof GenerationSettings, string | number | undefined>> = {
    steps: number('Steps'),
    sampler: sampler === undefined ? undefined : (samplers.find(({ label }) => label === sampler)?.name ?? sampler),
    cfg: number('CFG scale'),
    seed: number('Seed'),
    width: width === undefined ? undefined : Number(width),
    height: height === undefined ? undefined : Number(height),
    clipSkip: facts.size === 0 ? undefined : (number('Clip skip') ?? 1),
    model: facts.get('Model'),
  }
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)) as Partial<GenerationSettings>
}
