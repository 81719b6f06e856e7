/** What storing a matrix in fewer bits makes of its values, written down a second time from the formats' definitions. */
import type { WeightStorage } from '../../lib/native'

export const nf4Levels = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
]

/** Every number of e4m3fn that is not negative, in order: subnormals in steps of 2^-9, then eight to each power of two. */
const fp8Numbers = Array.from({ length: 127 }, (_, code) =>
  code < 8 ? code * 2 ** -9 : 2 ** ((code >> 3) - 7) * (1 + (code & 7) / 8),
)

/** Of two numbers equally near, the one with an even place. */
function nearest(numbers: readonly number[], x: number): number {
  let best = 0
  for (let i = 1; i < numbers.length; i++) {
    const [old, now] = [Math.abs(numbers[best]! - x), Math.abs(numbers[i]! - x)]
    if (now < old || (now === old && i % 2 === 0)) best = i
  }
  return numbers[best]!
}

function roundHalfEven(x: number): number {
  const down = Math.floor(x)
  if (x - down !== 0.5) return Math.round(x)
  return down % 2 === 0 ? down : down + 1
}

/** The f32 values of a matrix [rows, ..] after it was stored and opened. */
export function quantised(values: Float32Array, storage: WeightStorage, rows: number): Float32Array {
  if (storage === 'plain') return values
  const group = storage === 'nf4' ? 64 : values.length / rows
  const result = new Float32Array(values.length)
  for (let start = 0; start < values.length; start += group) {
    const given = values.subarray(start, start + group)
    const largest = given.reduce((a, b) => Math.max(a, Math.abs(b)), 0)
    const scale = Math.fround(largest / { nf4: 1, int8: 127, fp8: 448 }[storage])
    given.forEach((x, i) => {
      if (scale === 0) return
      let code: number
      if (storage === 'nf4') code = nearest(nf4Levels, Math.fround(x / scale))
      else if (storage === 'int8') code = roundHalfEven((x * 127) / largest)
      else code = Math.sign(x) * nearest(fp8Numbers, Math.abs(Math.fround(x / scale)))
      result[start + i] = code * scale
    })
  }
  return result
}
