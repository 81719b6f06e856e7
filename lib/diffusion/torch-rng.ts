/**
 * The random numbers of PyTorch's CPU generator, so that a seed gives the initial noise that diffusers, ComfyUI and
 * other tools start from. Algorithms: MT19937 (Matsumoto and Nishimura 1998) and, as in
 * ATen/native/cpu/DistributionTemplates.h and ATen/core/DistributionsHelper.h, two forms of the Box-Muller transform:
 * one for fewer than 16 values, one for more.
 *
 * PyTorch computes log, sin and cos of the second form in f32 with its own approximations, so values agree to about
 * 1e-7, not to the last bit. Whole numbers and uniform numbers agree exactly.
 */

export interface TorchGenerator {
  /** The next raw output, 0 .. 2^32-1. */
  random32(): number
  /** torch.rand(count): multiples of 2^-24 in [0, 1). */
  rand(count: number): Float32Array
  /** torch.randn(count) in f32, also for latents of any shape. */
  randn(count: number): Float32Array
  /** torch.randn(count, dtype=float16), the noise of pipelines that run in f16, widened to f32. */
  randnHalf(count: number): Float32Array
  /** torch.randn(count, dtype=float64). */
  randnDouble(count: number): Float64Array
  /** torch.randint(low, high, (count,)) for ranges below 2^28 (PyTorch draws 64 bits for larger ones). */
  randint(low: number, high: number, count: number): number[]
  /** torch.randperm(count) for fewer than 2^32 entries. */
  randperm(count: number): number[]
}

/** `seed`: a whole number from 0 to 2^53-1; PyTorch uses its lower 32 bits. */
export function torchGenerator(seed: number): TorchGenerator {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new RangeError(`the seed must be a whole number from 0 to 2^53-1, received ${seed}`)
  }
  const random32 = mersenneTwister(seed >>> 0)

  /** 53 random bits in [0, 1); the first output gives the upper half of the 64-bit word that they are taken from. */
  const uniform53 = () => {
    const high = random32() & 0x1fffff
    return (high * 0x100000000 + random32()) * 2 ** -53
  }
  const uniform24 = () => (random32() & 0xffffff) * 2 ** -24

  // The short form makes two values at a time and keeps the second one for the next call.
  let kept: number | undefined
  const nextNormal = () => {
    if (kept !== undefined) {
      const value = kept
      kept = undefined
      return value
    }
    const angle = 2 * Math.PI * uniform53()
    const radius = Math.sqrt(-2 * Math.log1p(-uniform53()))
    kept = radius * Math.sin(angle)
    return radius * Math.cos(angle)
  }

  /**
   * From 16 values on, uniform numbers are drawn first, `drawn` at a time, and transformed in blocks of 16. Where 16
   * does not divide the count, the last 16 values, which overlap the block before them, are drawn once more.
   */
  const normal = <A extends Float32Array | Float64Array>(out: A, uniform: () => number, drawn = out.length): A => {
    if (out.length < 16) {
      for (let i = 0; i < out.length; i++) out[i] = nextNormal()
      return out
    }
    for (let start = 0; start + drawn <= out.length; start += drawn) {
      for (let i = start; i < start + drawn; i++) out[i] = uniform()
    }
    for (let i = 0; i + 16 <= out.length; i += 16) boxMuller16(out, i)
    if (out.length % 16 !== 0) {
      for (let i = out.length - 16; i < out.length; i++) out[i] = uniform()
      boxMuller16(out, out.length - 16)
    }
    return out
  }

  return {
    random32,
    rand: (count) => Float32Array.from({ length: count }, uniform24),
    randn: (count) => normal(new Float32Array(count), uniform24),
    randnHalf: (count) => normal(new Float32Array(count), uniform24, 16).map(roundToHalf),
    randnDouble: (count) => normal(new Float64Array(count), uniform53),
    randint: (low, high, count) => {
      if (high - low >= 2 ** 28) throw new RangeError(`the range [${low}, ${high}) is too large`)
      return Array.from({ length: count }, () => low + random32() % (high - low))
    },
    randperm: (count) => {
      const order = Array.from({ length: count }, (_, i) => i)
      for (let i = 0; i < count - 1; i++) {
        const j = i + random32() % (count - i)
        const value = order[i]!
        order[i] = order[j]!
        order[j] = value
      }
      return order
    },
  }
}

/** Turns 16 uniform numbers at `start` into normal ones: pairs are eight apart. */
function boxMuller16(values: Float32Array | Float64Array, start: number): void {
  for (let j = start; j < start + 8; j++) {
    const radius = Math.sqrt(-2 * Math.log(1 - values[j]!))
    const angle = 2 * Math.PI * values[j + 8]!
    values[j] = radius * Math.cos(angle)
    values[j + 8] = radius * Math.sin(angle)
  }
}

/** The nearest f16 value (ties to even), for |x| below 65504. */
function roundToHalf(x: number): number {
  if (x === 0) return x
  const exponent = Math.max(Math.floor(Math.log2(Math.abs(x))), -14)
  const unit = 2 ** (exponent - 10)
  const scaled = x / unit
  const floor = Math.floor(scaled)
  const rest = scaled - floor
  return (rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor) * unit
}

/** MT19937: returns its output function. */
function mersenneTwister(seed: number): () => number {
  const n = 624
  const m = 397
  const state = new Uint32Array(n)
  state[0] = seed
  for (let i = 1; i < n; i++) {
    const previous = state[i - 1]! ^ (state[i - 1]! >>> 30)
    state[i] = Math.imul(1812433253, previous) + i
  }
  let index = n

  const refill = () => {
    for (let i = 0; i < n; i++) {
      const y = (state[i]! & 0x80000000) | (state[(i + 1) % n]! & 0x7fffffff)
      state[i] = state[(i + m) % n]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0)
    }
    index = 0
  }

  return () => {
    if (index === n) refill()
    let y = state[index++]!
    y ^= y >>> 11
    y ^= (y << 7) & 0x9d2c5680
    y ^= (y << 15) & 0xefc60000
    y ^= y >>> 18
    return y >>> 0
  }
}
