/** From the names in a prompt and the values of `--lora` to files with strengths. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { LorikeetError } from '../base/errors'
import type { LoraUse } from '../pipeline/runtime'
import { parsePrompt } from '../text/prompt'
import { modelName } from './settings'

/** Finds the file of a LoRA that a prompt names. */
export type LoraFinder = (name: string) => string

/**
 * Looks a name up as AUTOMATIC1111 does: the file `name.safetensors` in one of the folders or below, or `sub/name` for one
 * of several. A path to a file is taken as it is.
 * @throws LorikeetError (input) when there is no such file, (usage) when there are several
 */
export function findLoras(folders: readonly string[]): LoraFinder {
  return (name) => {
    if (/\.safetensors$/i.test(name) && fs.existsSync(name)) return name
    const known = folders.flatMap((folder) => listLoras(folder).map((file) => ({ file, name: nameIn(folder, file) })))
    const matches = known.filter((lora) => lora.name === name || path.posix.basename(lora.name) === name)
    const files = [...new Set(matches.map(({ file }) => file))]
    if (files.length === 1) return files[0]!
    if (files.length > 1)
      throw new LorikeetError('usage', 'several LoRAs have this name', {
        where: `<lora:${name}>`,
        received: matches.map((lora) => lora.name).join(', '),
        fix: 'Name it with its folder',
      })
    throw notFound(name, folders, known.map((lora) => lora.name))
  }
}

function notFound(name: string, folders: readonly string[], known: readonly string[]): LorikeetError {
  const alike = known.filter((other) => other.toLowerCase().includes(name.toLowerCase().slice(0, 3)))
  const shown = (alike.length > 0 ? alike : known).slice(0, 8)
  return new LorikeetError('input', 'there is no LoRA of this name', {
    where: `<lora:${name}>`,
    ...(shown.length > 0 && { expected: `one of ${shown.join(', ')}${shown.length < known.length ? ', ...' : ''}` }),
    fix: folders.length === 0
      ? 'Say where LoRAs lie (--lora-dir FOLDER), or give the file itself (--lora FILE)'
      : `Looked in ${folders.join(', ')}`,
  })
}

function listLoras(folder: string): string[] {
  const stats = fs.statSync(folder, { throwIfNoEntry: false })
  if (!stats?.isDirectory())
    throw new LorikeetError('input', 'there is no such folder', { where: folder, fix: 'Correct --lora-dir' })
  return fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.safetensors$/i.test(file))
    .map((file) => path.join(folder, file))
    .sort()
}

function nameIn(folder: string, file: string): string {
  return path.relative(folder, file).split(path.sep).join('/').replace(/\.safetensors$/i, '')
}

/**
 * The prompt without its tags, and all LoRAs: those given, then those that only the prompt names. Where a tag names one of
 * the given files, it sets the strengths of that one.
 */
export function resolvePrompt(prompt: string, given: readonly LoraUse[], find: LoraFinder): { text: string; uses: LoraUse[] } {
  const { text, loras } = parsePrompt(prompt)
  const uses = [...given]
  for (const { name, strength, clipStrength } of loras) {
    const index = uses.findIndex((use) => modelName(use.file) === name)
    if (index >= 0) uses[index] = { file: uses[index]!.file, strength, clipStrength }
    else uses.push({ file: find(name), strength, clipStrength })
  }
  return { text: text.trim(), uses }
}

/**
 * `file`, `file:strength` or `file:strength:clip`. A file whose own name looks like that is taken whole.
 * @throws LorikeetError (input) when the file does not exist
 */
export function parseLoraOption(text: string): LoraUse {
  const use = fs.existsSync(text) ? { file: text, strength: 1 } : splitStrengths(text)
  if (fs.existsSync(use.file)) return use
  throw new LorikeetError('input', 'there is no such file', { where: use.file, fix: 'Correct --lora FILE[:STRENGTH[:CLIP]]' })
}

function splitStrengths(text: string): LoraUse {
  const number = '[+-]?(?:\\d+\\.?\\d*|\\.\\d+)'
  const [, file = text, strength, clip] = new RegExp(`^(.*?)(?::(${number}))?(?::(${number}))?$`, 's').exec(text) ?? []
  const use = { file, strength: strength === undefined ? 1 : Number(strength) }
  return clip === undefined ? use : { ...use, clipStrength: Number(clip) }
}
