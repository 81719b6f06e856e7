/**
 * Weights in prompts, in the syntax of AUTOMATIC1111 (and, with the same numbers, sd-scripts):
 *
 *     (word)       times 1.1          \( \) \[ \] \\   the character itself
 *     (word:1.3)   times 1.3
 *     [word]       divided by 1.1
 *
 * Brackets may be nested, and one that is never closed reaches to the end.
 */
import type { ClipTokenizer } from './clip-tokenizer'

export interface WeightedText {
  text: string
  weight: number
}

const perRoundBracket = 1.1
const perSquareBracket = 1 / 1.1

const syntax = /\\[()[\]\\]|\\|\(|\[|:([+-]?[.\d]+)\)|\)|\]|[^\\()[\]:]+|:/g

/** Pieces of the text with their weights; neighbours differ in weight. */
export function parseEmphasis(text: string): WeightedText[] {
  const pieces: WeightedText[] = []
  const round: number[] = [] // indices into pieces where brackets were opened
  const square: number[] = []
  const multiplyFrom = (index: number, factor: number) => {
    for (const piece of pieces.slice(index)) piece.weight *= factor
  }

  for (const [token, number] of text.matchAll(syntax)) {
    if (token === '(') round.push(pieces.length)
    else if (token === '[') square.push(pieces.length)
    else if (token === ']' && square.length > 0) multiplyFrom(square.pop()!, perSquareBracket)
    else if (token === ')' && round.length > 0) multiplyFrom(round.pop()!, perRoundBracket)
    else if (number !== undefined && round.length > 0) {
      if (Number.isFinite(Number(number))) multiplyFrom(round.pop()!, Number(number))
      else {
        // Not a number ("(well:...)"): the text up to the bracket, and a plain closing bracket.
        pieces.push({ text: token.slice(0, -1), weight: 1 })
        multiplyFrom(round.pop()!, perRoundBracket)
      }
    } else pieces.push({ text: token.startsWith('\\') ? token.slice(1) : token, weight: 1 })
  }
  for (const index of round) multiplyFrom(index, perRoundBracket)
  for (const index of square) multiplyFrom(index, perSquareBracket)

  const merged: WeightedText[] = []
  for (const piece of pieces) {
    const last = merged[merged.length - 1]
    if (last && last.weight === piece.weight) last.text += piece.text
    else merged.push({ ...piece })
  }
  return merged
}

export interface WeightedIds {
  /** Of the text alone, of any length. */
  ids: number[]
  /** One for each id. */
  weights: number[]
}

/** Each piece is tokenised on its own, as the peers do. */
export function encodeWeighted(tokenizer: ClipTokenizer, text: string): WeightedIds {
  const ids: number[] = []
  const weights: number[] = []
  for (const piece of parseEmphasis(text)) {
    const pieceIds = tokenizer.encode(piece.text)
    ids.push(...pieceIds)
    weights.push(...pieceIds.map(() => piece.weight))
  }
  return { ids, weights }
}

/**
 * Applies weights to the states of one row, in place: every state times its weight, then all by one factor so that the
 * mean stays (AUTOMATIC1111's default, "Original").
 * @param states [T, C]
 * @param weights [T]
 */
export function applyWeights(states: Float32Array, weights: Float32Array): void {
  if (weights.every((weight) => weight === 1)) return
  const width = states.length / weights.length
  const before = sum(states)
  for (let t = 0; t < weights.length; t++) {
    for (let c = 0; c < width; c++) states[t * width + c]! *= weights[t]!
  }
  const factor = before / sum(states)
  if (Number.isFinite(factor)) for (let i = 0; i < states.length; i++) states[i]! *= factor
}

function sum(values: Float32Array): number {
  let total = 0
  for (const value of values) total += value
  return total
}
