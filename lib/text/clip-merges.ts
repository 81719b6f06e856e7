/**
 * The byte-pair merges of the CLIP text encoders and the vocabulary that follows from them. Used where a model brings
 * no tokenizer files, as single-file checkpoints do. Origin and licence of the data: data/README.md.
 */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { brotliDecompressSync } from 'node:zlib'
import { LorikeetError } from '../base/errors'

export const startOfText = '<|startoftext|>'
export const endOfText = '<|endoftext|>'

/** The mark of a symbol that ends a word. */
export const endOfWord = '</w>'

/**
 * The printable character that stands for each byte 0..255 in vocabulary entries (the scheme of GPT-2 and CLIP): bytes
 * that are visible in Latin-1 stand for themselves, the other 68 are numbered from U+0100 on.
 */
export const byteSymbols: readonly string[] = (() => {
  const symbols: string[] = []
  let next = 0x100
  for (let byte = 0; byte < 256; byte++) {
    symbols.push(String.fromCharCode(isVisible(byte) ? byte : next++))
  }
  return symbols
})()

function isVisible(byte: number): boolean {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
}

/** The 48,894 merges of OpenAI's CLIP, in order of rank: "i n", "t h", ... */
export function builtInMerges(): string[] {
  return parseMerges(brotliDecompressSync(readFileSync(dataFile('clip-merges.br'))).toString('utf8'))
}

/** The lines of a merges file without its version line. */
export function parseMerges(text: string): string[] {
  const lines = text.split(/\r?\n/).filter((line) => line !== '')
  return lines[0]?.startsWith('#version') ? lines.slice(1) : lines
}

/**
 * Token -> id, as CLIP numbers them: byte symbols (visible bytes first), the same at the end of a word, the merges in
 * order of rank, start and end of text.
 */
export function vocabularyOf(merges: readonly string[]): Map<string, number> {
  const bytes = [...byteSymbols.keys()]
  const ordered = [...bytes.filter(isVisible), ...bytes.filter((byte) => !isVisible(byte))].map((b) => byteSymbols[b]!)
  const tokens = [
    ...ordered,
    ...ordered.map((symbol) => symbol + endOfWord),
    ...merges.map((merge) => merge.replace(' ', '')),
    startOfText,
    endOfText,
  ]
  return new Map(tokens.map((token, id) => [token, id]))
}

/** Data files stay in lib/text/data of the package; the compiled code lies two folders further away from them. */
function dataFile(name: string): string {
  let folder = __dirname
  while (!existsSync(path.join(folder, 'package.json')) && folder !== path.dirname(folder)) {
    folder = path.dirname(folder)
  }
  const file = path.join(folder, 'lib', 'text', 'data', name)
  if (!existsSync(file)) {
    throw new LorikeetError('failed', 'the CLIP vocabulary is missing from this installation', {
      where: file, fix: 'Install the package again' })
  }
  return file
}
