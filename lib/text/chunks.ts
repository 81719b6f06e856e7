/**
 * Rows of 77 token ids, the length that CLIP's text encoders take: start, up to 75 ids, end, padding. Longer texts
 * become several rows, which are encoded one by one and joined again. Training and generation tools do that
 * differently:
 *
 *  - `trainingRows`, as sd-scripts (library/strategy_base.py): the text is cut at 75, 150 or 225 ids; the rows keep the
 *    padding of the whole, and the states are joined as one long sentence with one start and one end (`trainingJoin`).
 *  - `generationRows`, as AUTOMATIC1111 and ComfyUI: as many complete rows as the text needs, each with its own start
 *    and end; all 77 states of each are used, one row after another.
 */
import type { ClipTokenizer } from './clip-tokenizer'

/** Ids of one row, start and end included. */
export const rowLength = 77
/** Ids of the text in one row. */
export const chunkLength = 75

/** Longest caption in training, in ids of the text (sd-scripts' max_token_length). */
export const maxTokenLengths = [75, 150, 225] as const
export type MaxTokenLength = typeof maxTokenLengths[number]

type SpecialIds = Pick<ClipTokenizer, 'startId' | 'endId' | 'padId'>

export interface TokenRows {
  /** Each of `rowLength` ids. */
  rows: number[][]
  /** How many ids of the text were cut off. */
  dropped: number
}

/** `ids`: of the text alone, of any length. Always maxTokenLength / 75 rows, so captions of a batch fit together. */
export function trainingRows(ids: readonly number[], special: SpecialIds, maxTokenLength: MaxTokenLength): TokenRows {
  const { startId, endId, padId } = special
  const kept = ids.slice(0, maxTokenLength)
  const sentence = [startId, ...kept, endId]
  while (sentence.length < maxTokenLength + 2) sentence.push(padId)
  const dropped = ids.length - kept.length
  if (maxTokenLength === chunkLength) return { rows: [sentence], dropped }

  const last = sentence[sentence.length - 1]!
  const rows: number[][] = []
  for (let i = 1; i <= maxTokenLength; i += chunkLength) {
    const row = [startId, ...sentence.slice(i, i + chunkLength), last]
    if (padId !== endId) {
      // A full row ends with the end token, and an empty one begins with it.
      if (row[rowLength - 2] !== endId && row[rowLength - 2] !== padId) row[rowLength - 1] = endId
      if (row[1] === padId) row[1] = endId
    }
    rows.push(row)
  }
  return { rows, dropped }
}

/**
 * Where the states of the joined sentence come from: entry p is the index row * 77 + position of its p-th state. The
 * start of the first row, positions 1..75 of each, the last position of the last; so 77, 152 or 227 entries.
 */
export function trainingJoin(rowCount: number): Int32Array {
  if (rowCount === 1) return Int32Array.from({ length: rowLength }, (_, p) => p)
  const join = new Int32Array(rowCount * chunkLength + 2)
  for (let row = 0; row < rowCount; row++) {
    for (let p = 1; p <= chunkLength; p++) join[row * chunkLength + p] = row * rowLength + p
  }
  join[join.length - 1] = rowCount * rowLength - 1
  return join
}

/** `ids`: of the text alone. At least one row, at least `minRows` (to match a longer partner in a batch). */
export function generationRows(ids: readonly number[], special: SpecialIds, minRows = 1): number[][] {
  const { startId, endId, padId } = special
  const count = Math.max(minRows, Math.ceil(ids.length / chunkLength), 1)
  return Array.from({ length: count }, (_, i) => {
    const row = [startId, ...ids.slice(i * chunkLength, (i + 1) * chunkLength), endId]
    while (row.length < rowLength) row.push(padId)
    return row
  })
}

/** The weights that belong to `generationRows` of the same text: 1 at start, end and padding. */
export function generationWeights(weights: readonly number[], rowCount: number): Float32Array[] {
  return Array.from({ length: rowCount }, (_, i) => {
    const row = new Float32Array(rowLength).fill(1)
    row.set(weights.slice(i * chunkLength, (i + 1) * chunkLength), 1)
    return row
  })
}
