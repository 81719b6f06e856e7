/**
 * Captions: from the file beside an image to the text that the encoder sees in one step. The rules are those of
 * sd-scripts (`read_caption` and `process_caption` in library/train_util.py): one line per caption, tags separated
 * by commas, the leading `keep_tokens` of them fixed. Different here: `.txt` and `.caption` are both looked for, an
 * empty file is an empty caption instead of an assertion, a blank first line is passed over, and a trigger word
 * exists.
 */

import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { LorikeetError } from '../base/errors'
import { SubsetOptions } from './options'

/** Where the text of a caption came from. */
export type CaptionSource = 'file' | 'class tokens' | 'trigger word' | 'none'

export interface Caption {
  /** As read, before trigger word, shuffle and dropout. */
  text: string
  source: CaptionSource
  /** The file that was read. */
  file?: string
  /** Lines of the file that were not used. */
  ignoredLines: number
  /** Caption files beside it that lost against `file`, or that `caption_extension` rules out. */
  ignoredFiles: string[]
}

export type CaptionOptions = Omit<SubsetOptions, 'image_dir'>

/** The extensions read (best first), and those known to be captions whether read or not. */
export function captionExtensionsOf({ caption_extension: own }: Pick<SubsetOptions, 'caption_extension'>): {
  read: string[]
  known: string[]
} {
  const usual = ['.txt', '.caption']
  if (own === undefined) return { read: usual, known: usual }
  const chosen = (own.startsWith('.') ? own : `.${own}`).toLowerCase()
  return { read: [chosen], known: [...new Set([chosen, ...usual])] }
}

/**
 * The caption of one image, from `siblings`: the names of all files in its folder (so that no disk is asked about
 * files that are not there, and upper-case extensions are found).
 * @throws LorikeetError of kind input when the file is not text
 */
export async function readCaption(image: string, siblings: string[], options: CaptionOptions): Promise<Caption> {
  const { read, known } = captionExtensionsOf(options)
  const stem = path.basename(image, path.extname(image))
  const beside = (extension: string) =>
    siblings.filter((name) => path.extname(name).toLowerCase() === extension && path.parse(name).name === stem)
  const candidates = read.flatMap(beside)
  const others = known.filter((extension) => !read.includes(extension)).flatMap(beside)
  const ignoredFiles = [...candidates.slice(1), ...others]
  if (candidates.length === 0) return { ...fallback(options), ignoredLines: 0, ignoredFiles }
  const file = path.join(path.dirname(image), candidates[0])
  const lines = decodeText(await readFile(file), file)
    .split(/\r\n|\r|\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '')
  return { text: lines[0] ?? '', source: 'file', file, ignoredLines: Math.max(0, lines.length - 1), ignoredFiles }
}

function fallback({ class_tokens, trigger_word }: CaptionOptions): Pick<Caption, 'text' | 'source'> {
  if (class_tokens) return { text: class_tokens, source: 'class tokens' }
  if (trigger_word) return { text: trigger_word, source: 'trigger word' }
  return { text: '', source: 'none' }
}

/** UTF-8, or UTF-16 when it starts with that byte order mark (as Windows editors write "Unicode"). */
export function decodeText(bytes: Buffer, file: string): string {
  const mark = bytes.subarray(0, 2).toString('hex')
  const encoding = mark === 'fffe' ? 'utf-16le' : mark === 'feff' ? 'utf-16be' : 'utf-8'
  let text: string
  try {
    text = new TextDecoder(encoding, { fatal: true }).decode(bytes) // removes the byte order mark
  } catch (cause) {
    throw notText(file, cause)
  }
  if (text.includes('\0')) throw notText(file)
  return text
}

function notText(file: string, cause?: unknown): LorikeetError {
  return new LorikeetError('input', 'the caption is not text', {
    where: file,
    expected: 'UTF-8',
    fix: 'Save it as UTF-8, or remove it',
    cause,
  })
}

/**
 * The caption as trained, once. With the same options and the same numbers from `random` the result is the same.
 * Numbers drawn, in this order: one for caption dropout, one per tag for the shuffle, one per tag for tag dropout;
 * each only when its setting is on.
 * @param random uniform numbers in [0, 1)
 * @param epoch counted from 0
 */
export function processCaption(text: string, options: CaptionOptions, random: () => number, epoch = 0): string {
  const caption = [options.caption_prefix, text, options.caption_suffix].filter(Boolean).join(' ')
  const everyN = options.caption_dropout_every_n_epochs
  const dropped = options.caption_dropout_rate > 0 && random() < options.caption_dropout_rate
  if (dropped || (everyN > 0 && (epoch + 1) % everyN === 0)) return ''
  const varied = changesTags(options) ? varyTags(caption, options, random) : withoutMarks(caption, options)
  const result = addTriggerWord(varied, options)
  return options.secondary_separator
    ? result.replaceAll(options.secondary_separator, options.caption_separator)
    : result
}

/** Whether tags are shuffled or dropped, so that the captions of an image are too many to encode beforehand. */
export function changesTags(options: CaptionOptions): boolean {
  return options.shuffle_caption || options.caption_tag_dropout_rate > 0
}

/** Every text that `processCaption` can give, or undefined when tags vary. */
export function captionVariants(text: string, options: CaptionOptions): string[] | undefined {
  if (changesTags(options)) return undefined
  const kept = { ...options, caption_dropout_rate: 0, caption_dropout_every_n_epochs: 0 }
  const always = processCaption(text, kept, () => 0)
  const drops = options.caption_dropout_rate > 0 || options.caption_dropout_every_n_epochs > 0
  return drops ? [always, ''] : [always]
}

function varyTags(caption: string, options: CaptionOptions, random: () => number): string {
  const separator = options.caption_separator
  const { head, middle, tail } = splitTags(caption, options)
  if (options.shuffle_caption) shuffle(middle, random)
  const rate = options.caption_tag_dropout_rate
  const isTrigger = (tag: string) => options.trigger_word !== undefined && containsPhrase(tag, options.trigger_word)
  const kept = rate > 0 ? middle.filter((tag) => random() >= rate || isTrigger(tag)) : middle
  return [...head, ...kept, ...tail].join(`${separator.trimEnd()} `)
}

/** The tags that stay first, those that move, and those that stay last. */
function splitTags(caption: string, options: CaptionOptions): { head: string[]; middle: string[]; tail: string[] } {
  const split = (part: string) =>
    part
      .split(options.caption_separator)
      .map((tag) => tag.trim())
      .filter((tag) => tag !== '')
  const mark = options.keep_tokens_separator
  if (mark && caption.includes(mark)) {
    const [head, middle, ...tail] = caption.split(mark)
    return { head: split(head), middle: split(middle), tail: split(tail.join(mark)) }
  }
  const tags = split(caption)
  return { head: tags.slice(0, options.keep_tokens), middle: tags.slice(options.keep_tokens), tail: [] }
}

/** A caption whose tags do not move still must not show the marks of `keep_tokens_separator`. */
function withoutMarks(caption: string, options: CaptionOptions): string {
  const mark = options.keep_tokens_separator
  if (!mark || !caption.includes(mark)) return caption
  const { head, middle, tail } = splitTags(caption, options)
  return [...head, ...middle, ...tail].join(`${options.caption_separator.trimEnd()} `)
}

function addTriggerWord(caption: string, options: CaptionOptions): string {
  const trigger = options.trigger_word
  if (trigger === undefined || containsPhrase(caption, trigger)) return caption
  return caption === '' ? trigger : `${trigger}${options.caption_separator.trimEnd()} ${caption}`
}

/** Whether the words of `phrase` stand in `text` as whole words; case does not count, as in CLIP's tokenizer. */
export function containsPhrase(text: string, phrase: string): boolean {
  const words = phrase.trim().split(/\s+/).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`(?<![\\p{L}\\p{N}])${words.join('\\s+')}(?![\\p{L}\\p{N}])`, 'iu').test(text)
}

/** Fisher and Yates, in place. */
export function shuffle<T>(items: T[], random: () => number): void {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    const item = items[i]
    items[i] = items[j]
    items[j] = item
  }
}
