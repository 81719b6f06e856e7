/**
 * Text to token ids as CLIP's text encoders expect them: clean-up, lower case, splitting into words, byte-pair
 * encoding. The ids are those of transformers' `CLIPTokenizer` with ftfy installed, which is what diffusers pipelines
 * and sd-scripts use. Algorithm: Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units"
 * (2016), on UTF-8 bytes as in GPT-2.
 */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { LorikeetError } from '../base/errors'
import { builtInMerges, byteSymbols, endOfText, endOfWord, parseMerges, startOfText, vocabularyOf } from './clip-merges'
import { fixText } from './fix-text'

export interface ClipTokenizer {
  /** <|startoftext|>, first in every row. */
  readonly startId: number
  /** <|endoftext|>, after the last token of the text. */
  readonly endId: number
  /** Fills a row behind the end: the end token for CLIP-L, "!" (0) for SDXL's second encoder. */
  readonly padId: number
  readonly vocabularySize: number
  /** Ids of the text alone, of any length. */
  encode(text: string): number[]
  /** Start, ids of the text, end; not cut, not padded. */
  tokenize(text: string): number[]
}

export interface ClipTokenizerData {
  vocabulary: ReadonlyMap<string, number>
  /** "a b" in order of rank. */
  merges: readonly string[]
  /** Default: the end token. */
  padToken?: string
}

// Words after clean-up and lower-casing: special tokens, English contractions, runs of letters, single digits, runs of
// anything else. The pattern is part of CLIP's definition.
const wordPattern = /<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/giu

// Every distinct word is merged once; the bound keeps a run over millions of captions from growing without end.
const cacheLimit = 100_000

export function createClipTokenizer({ vocabulary, merges, padToken = endOfText }: ClipTokenizerData): ClipTokenizer {
  const idOf = (token: string): number => {
    const id = vocabulary.get(token)
    if (id === undefined) {
      throw new LorikeetError('input', 'the tokenizer vocabulary lacks a special token', { expected: token })
    }
    return id
  }
  const startId = idOf(startOfText)
  const endId = idOf(endOfText)
  const padId = idOf(padToken)
  const ranks = new Map(merges.map((merge, rank) => [merge, rank]))
  const cache = new Map<string, number[]>()

  const encodeWord = (word: string): number[] => {
    if (word === startOfText) return [startId]
    if (word === endOfText) return [endId]
    const known = cache.get(word)
    if (known) return known
    const symbols = [...Buffer.from(word, 'utf8')].map((byte) => byteSymbols[byte]!)
    symbols[symbols.length - 1] += endOfWord
    // A token outside the vocabulary becomes the unknown token, which for CLIP is the end token.
    const ids = mergePairs(symbols, ranks).map((token) => vocabulary.get(token) ?? endId)
    if (cache.size < cacheLimit) cache.set(word, ids)
    return ids
  }

  const encode = (text: string): number[] => {
    const ids: number[] = []
    // Special tokens in the text are taken as such (exact case), and what lies between them is cleaned up piece by
    // piece.
    for (const piece of text.split(/(<\|startoftext\|>|<\|endoftext\|>)/)) {
      if (piece === startOfText || piece === endOfText) {
        ids.push(...encodeWord(piece))
        continue
      }
      const clean = fixText(piece).replace(/\s+/g, ' ').trim().toLowerCase()
      for (const [word] of clean.matchAll(wordPattern)) ids.push(...encodeWord(word))
    }
    return ids
  }

  return {
    startId, endId, padId, vocabularySize: vocabulary.size,
    encode,
    tokenize: (text) => [startId, ...encode(text), endId],
  }
}

/** Joins the neighbouring pair of the lowest rank, everywhere it occurs, until no pair has a rank. */
function mergePairs(symbols: string[], ranks: ReadonlyMap<string, number>): string[] {
  let parts = symbols
  while (parts.length > 1) {
    let best = Infinity
    let bestAt = -1
    for (let i = 0; i + 1 < parts.length; i++) {
      const rank = ranks.get(`${parts[i]} ${parts[i + 1]}`)
      if (rank !== undefined && rank < best) {
        best = rank
        bestAt = i
      }
    }
    if (bestAt < 0) break
    const first = parts[bestAt]!
    const second = parts[bestAt + 1]!
    const joined: string[] = []
    for (let i = 0; i < parts.length; i++) {
      if (i + 1 < parts.length && parts[i] === first && parts[i + 1] === second) {
        joined.push(first + second)
        i++
      } else {
        joined.push(parts[i]!)
      }
    }
    parts = joined
  }
  return parts
}

let builtIn: ClipTokenizer | undefined

/** CLIP's own tokenizer, for models that bring none. */
export function builtInClipTokenizer(): ClipTokenizer {
  if (!builtIn) {
    const merges = builtInMerges()
    builtIn = createClipTokenizer({ vocabulary: vocabularyOf(merges), merges })
  }
  return builtIn
}

/**
 * The tokenizer of a diffusers model: `folder` holds vocab.json, merges.txt and, where it has one,
 * special_tokens_map.json (for the padding token).
 */
export function readClipTokenizer(folder: string): ClipTokenizer {
  const vocabularyFile = path.join(folder, 'vocab.json')
  const entries = readJson(vocabularyFile)
  for (const [token, id] of Object.entries(entries)) {
    if (!Number.isInteger(id) || (id as number) < 0) {
      throw new LorikeetError('input', 'a vocabulary entry is not a token id', {
        where: vocabularyFile,
        expected: 'a whole number',
        received: `${JSON.stringify(token)}: ${JSON.stringify(id)}`,
      })
    }
  }
  return createClipTokenizer({
    vocabulary: new Map(Object.entries(entries) as [string, number][]),
    merges: parseMerges(readFile(path.join(folder, 'merges.txt'))),
    padToken: readPadToken(path.join(folder, 'special_tokens_map.json')),
  })
}

function readPadToken(file: string): string {
  if (!existsSync(file)) return endOfText
  const pad = readJson(file).pad_token
  const content = typeof pad === 'object' && pad !== null ? (pad as { content?: unknown }).content : pad
  return typeof content === 'string' ? content : endOfText
}

function readJson(file: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(readFile(file))
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch (cause) {
    if (cause instanceof LorikeetError) throw cause
    throw new LorikeetError('input', 'not valid JSON', { where: file, cause, fix: 'Download the tokenizer again' })
  }
  throw new LorikeetError('input', 'not a JSON object', { where: file, fix: 'Download the tokenizer again' })
}

function readFile(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new LorikeetError('input', 'a tokenizer file cannot be read', {
      where: file, received: (cause as NodeJS.ErrnoException).code, cause,
      fix: 'A tokenizer folder has vocab.json and merges.txt' })
  }
}
