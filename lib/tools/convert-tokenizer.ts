/** The tokenizer folder of a diffusers model, as transformers' CLIPTokenizer reads it. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { writeFileAtomic } from '../base/atomic-file'
import { LorikeetError } from '../base/errors'
import { readConfig } from '../formats/diffusers-folder'
import type { BaseModel } from '../pipeline/base-model'
import { builtInMerges, endOfText, parseMerges, startOfText, vocabularyOf } from '../text/clip-merges'
import { configText } from './convert-configs'

/** Of the model's own tokenizer, what is taken over where it is there. */
const ownFiles = [
  'vocab.json',
  'merges.txt',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'tokenizer.json',
]

/**
 * Copies the model's tokenizer, or writes CLIP's own where the model brings none.
 * @param folder is there
 * @throws LorikeetError (input) when the text encoder has no embedding for CLIP's own tokens
 */
export function writeTokenizer(folder: string, { config, checkpoint, location }: BaseModel): void {
  const made = settings(config.textEncoder.positions)
  if (checkpoint?.tokenizer !== undefined) {
    for (const name of ownFiles) {
      const file = path.join(checkpoint.tokenizer, name)
      if (fs.existsSync(file)) writeFileAtomic(path.join(folder, name), fs.readFileSync(file))
      else if (Object.hasOwn(made, name)) writeFileAtomic(path.join(folder, name), made[name]!)
    }
    return
  }
  const merges = builtInMerges()
  const vocabulary = vocabularyOf(merges)
  if (vocabulary.size > config.textEncoder.vocabulary)
    throw new LorikeetError('input', "the text encoder has fewer words than CLIP's own tokenizer", {
      where: location,
      expected: `at least ${vocabulary.size} token embeddings`,
      received: String(config.textEncoder.vocabulary),
      fix: 'Give the model as a diffusers folder with its tokenizer: a single file does not carry one',
    })
  writeFileAtomic(path.join(folder, 'vocab.json'), JSON.stringify(Object.fromEntries(vocabulary)))
  writeFileAtomic(path.join(folder, 'merges.txt'), `#version: 0.2\n${merges.join('\n')}\n`)
  for (const [name, text] of Object.entries(made)) writeFileAtomic(path.join(folder, name), text)
}

/** The two small files, as in runwayml/stable-diffusion-v1-5. */
function settings(positions: number): Record<string, string> {
  const token = (content: string) => ({ content, lstrip: false, normalized: true, rstrip: false, single_word: false })
  const [start, end] = [token(startOfText), token(endOfText)]
  const special = { bos_token: start, eos_token: end, pad_token: endOfText, unk_token: end }
  const typed = Object.entries(special).map(([name, value]) => [
    name,
    typeof value === 'string' ? value : { ...value, __type: 'AddedToken' },
  ])
  const config = {
    add_prefix_space: false,
    do_lower_case: true,
    errors: 'replace',
    model_max_length: positions,
    tokenizer_class: 'CLIPTokenizer',
    ...(Object.fromEntries(typed) as Record<string, unknown>),
  }
  return { 'special_tokens_map.json': configText(special), 'tokenizer_config.json': configText(config) }
}

/** Whether a model's tokenizer is CLIP's own, which every reader of a single file takes, as it cannot carry one. */
export function isClipTokenizer(folder: string): boolean {
  const merges = builtInMerges()
  const own = parseMerges(fs.readFileSync(path.join(folder, 'merges.txt'), 'utf8'))
  if (own.length !== merges.length || own.some((merge, rank) => merge !== merges[rank])) return false
  const vocabulary = readConfig(path.join(folder, 'vocab.json')) ?? {}
  const expected = vocabularyOf(merges)
  const entries = Object.entries(vocabulary)
  return entries.length === expected.size && entries.every(([token, id]) => expected.get(token) === id)
}
