/**
 * Counter-based random numbers: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2,
 * 3", SC 2011). There is no state to save: the n-th number of (seed, stream, step) is a pure function of these four, so
 * a resumed run continues with the same numbers and every device can compute any part of them.
 *
 * Layout, the same for every implementation in this project:
 *   key     = [seed mod 2^32, seed div 2^32]                 seed: 0 .. 2^53-1
 *   counter = [block, step, stream, 0]                       each 0 .. 2^32-1
 * Block b gives the numbers 4b .. 4b+3 of the sequence, in the order of Philox's four output words.
 *
 * `stream` tells uses apart (noise, timesteps, dropout, ...), `step` counts within one.
 */

export interface PhiloxKey {
  seed: number
  stream: number
  step: number
}

const multiplier0 = 0xd2511f53
const multiplier1 = 0xcd9e8d57
const weyl0 = 0x9e3779b9
const weyl1 = 0xbb67ae85
const rounds = 10

/** Upper 32 bits of the unsigned product a * b, from 16-bit halves (a double cannot hold the whole product). */
function mulHigh(a: number, b: number): number {
  const aHigh = a >>> 16
  const aLow = a & 0xffff
  const bHigh = b >>> 16
  const bLow = b & 0xffff
  // Each partial product is below 2^32, each sum below 2^34: exact in a double.
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16)
  const middleLow = aLow * bHigh + (middle % 0x10000)
  return aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(middleLow / 0x10000)
}

/** One block: counter and key as 32-bit words, four 32-bit words into `out` at `offset`. */
export function philoxBlock(
  c0: number, c1: number, c2: number, c3: number, k0: number, k1: number, out: Uint32Array, offset = 0,
): void {
  for (let round = 0; round < rounds; round++) {
    const high0 = mulHigh(multiplier0, c0)
    const low0 = Math.imul(multiplier0, c0)
    const high1 = mulHigh(multiplier1, c2)
    const low1 = Math.imul(multiplier1, c2)
    c0 = (high1 ^ c1 ^ k0) >>> 0
    c1 = low1 >>> 0
    c2 = (high0 ^ c3 ^ k1) >>> 0
    c3 = low0 >>> 0
    k0 = (k0 + weyl0) >>> 0
    k1 = (k1 + weyl1) >>> 0
  }
  out[offset] = c0
  out[offset + 1] = c1
  out[offset + 2] = c2
  out[offset + 3] = c3
}

/** The first `count` 32-bit words of the sequence (a multiple of four is computed, `count` are returned). */
export function philoxWords(key: PhiloxKey, count: number): Uint32Array {
  check('seed', key.seed, Number.MAX_SAFE_INTEGER)
  check('stream', key.stream, 0xffffffff)
  check('step', key.step, 0xffffffff)
  const blocks = Math.ceil(count / 4)
  const words = new Uint32Array(blocks * 4)
  const k0 = key.seed >>> 0
  const k1 = Math.floor(key.seed / 0x100000000)
  for (let block = 0; block < blocks; block++) {
    philoxBlock(block, key.step, key.stream, 0, k0, k1, words, block * 4)
  }
  return words.subarray(0, count)
}

/** Fills `out` with uniform numbers in [0, 1): multiples of 2^-24 from the upper bits of one word each. */
export function philoxUniform(key: PhiloxKey, out: Float32Array): Float32Array {
  const words = philoxWords(key, out.length)
  for (let i = 0; i < out.length; i++) out[i] = (words[i]! >>> 8) * 2 ** -24
  return out
}

/**
 * Fills `out` with standard normal numbers (Box and Muller 1958): words a, b of the sequence give
 * r cos(2 pi v), r sin(2 pi v) with r = sqrt(-2 ln u), u = (a + 0.5) 2^-32 in (0, 1), v = b 2^-32. The largest
 * possible value is 6.7.
 */
export function philoxNormal(key: PhiloxKey, out: Float32Array): Float32Array {
  const words = philoxWords(key, out.length + (out.length & 1))
  for (let i = 0; i < out.length; i += 2) {
    const radius = Math.sqrt(-2 * Math.log((words[i]! + 0.5) * 2 ** -32))
    const angle = words[i + 1]! * (2 * Math.PI * 2 ** -32)
    out[i] = radius * Math.cos(angle)
    if (i + 1 < out.length) out[i + 1] = radius * Math.sin(angle)
  }
  return out
}

/**
 * Whole numbers in [min, max), `count` of them, each equally likely to within 2^-53 (two words make one 53-bit
 * fraction, so number i takes the words 2i and 2i+1).
 */
export function philoxInts(key: PhiloxKey, min: number, max: number, count: number): number[] {
  if (!Number.isSafeInteger(min) || !Number.isSafeInteger(max) || max <= min) {
    throw new RangeError(`the range [${min}, ${max}) holds no whole numbers`)
  }
  const words = philoxWords(key, 2 * count)
  return Array.from({ length: count }, (_, i) => min + Math.floor(fraction(words, i) * (max - min)))
}

/** One whole number in [min, max). */
export function philoxInt(key: PhiloxKey, min: number, max: number): number {
  return philoxInts(key, min, max, 1)[0]!
}

/** A copy of `items` in random order (Fisher and Yates). */
export function philoxShuffle<T>(key: PhiloxKey, items: readonly T[]): T[] {
  const shuffled = [...items]
  const words = philoxWords(key, 2 * items.length)
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(fraction(words, i) * (i + 1))
    const item = shuffled[i]!
    shuffled[i] = shuffled[j]!
    shuffled[j] = item
  }
  return shuffled
}

/** 53 random bits as a number in [0, 1), from the words 2i and 2i+1. */
function fraction(words: Uint32Array, i: number): number {
  return ((words[2 * i]! >>> 5) * 0x4000000 + (words[2 * i + 1]! >>> 6)) * 2 ** -53
}

function check(name: string, value: number, max: number): void {
  if (!Number.isSafeInteger(value) || value < 0 || value > max) {
    throw new RangeError(`${name} must be a whole number from 0 to ${max}, received ${value}`)
  }
}
