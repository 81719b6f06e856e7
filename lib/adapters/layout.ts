/** Convolution weights between the files' order [O, I, kh, kw] and the device's [O, kh, kw, I]. */

/** @param shape [O, I, kh, kw] */
export function toOhwi(values: Float32Array, shape: readonly number[]): Float32Array {
  const [o = 1, i = 1, kh = 1, kw = 1] = shape
  return permute(values, o, i, kh * kw)
}

/** @param shape [O, I, kh, kw], of the result */
export function fromOhwi(values: Float32Array, shape: readonly number[]): Float32Array {
  const [o = 1, i = 1, kh = 1, kw = 1] = shape
  return permute(values, o, kh * kw, i)
}

/** [a, b, c] -> [a, c, b] */
function permute(values: Float32Array, a: number, b: number, c: number): Float32Array {
  const result = new Float32Array(values.length)
  for (let x = 0; x < a; x++)
    for (let y = 0; y < b; y++)
      for (let z = 0; z < c; z++) result[(x * c + z) * b + y] = values[(x * b + y) * c + z] ?? 0
  return result
}
