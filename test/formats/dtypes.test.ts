import test from 'ava'
import { bf16ToF32, decodeToF32, f16Bits, f16ToF32, f32ToBf16, f32ToF16 } from '../../lib/formats/dtypes'
import { openSafetensors, readTensor, readTensorRaw } from '../../lib/formats/safetensors'

const allCodes = Uint16Array.from({ length: 65536 }, (_, i) => i)

test('every F16 and BF16 code survives the way to f32 and back', t => {
  for (const [widen, narrow] of [[f16ToF32, f32ToF16], [bf16ToF32, f32ToBf16]] as const) {
    const values = widen(allCodes)
    const back = narrow(values)
    for (let code = 0; code < 65536; code++) {
      if (Number.isNaN(values[code])) t.true(Number.isNaN(widen(back.subarray(code, code + 1))[0]))
      else if (back[code] !== code) t.fail(`${narrow.name}: ${code} became ${back[code]}`)
    }
  }
  t.is(f16ToF32(Uint16Array.of(0x3c00))[0], 1)
  t.is(f16ToF32(Uint16Array.of(0x0001))[0], 2 ** -24)
  t.is(f16ToF32(Uint16Array.of(0x7bff))[0], 65504)
})

/** Positive finite values of a format, ascending, and the next power in place of infinity. */
function ladder(widen: (codes: Uint16Array) => Float32Array, infinity: number, overflow: number): Float64Array {
  return Float64Array.from([...widen(allCodes.subarray(0, infinity)), overflow])
}

for (const [name, narrow, widen, infinity, overflow] of [
  ['F16', f32ToF16, f16ToF32, 0x7c00, 2 ** 16],
  ['BF16', f32ToBf16, bf16ToF32, 0x7f80, 2 ** 128],
] as const) {
  test(`narrowing to ${name} rounds to the nearest value, ties to even`, t => {
    const steps = ladder(widen, infinity, overflow)
    for (let code = 0; code < infinity; code++) {
      const [low, high] = [steps[code], steps[code + 1]]
      const middle = Math.fround((low + high) / 2)
      if (middle !== (low + high) / 2) continue // between the smallest f32 subnormals there is no middle
      const below = Math.fround(low + (high - low) * 0.499)
      const above = Math.fround(low + (high - low) * 0.501)
      const got = narrow(Float32Array.of(middle, below, above, -middle))
      const even = code % 2 === 0 ? code : code + 1
      const near = (x: number) => (x < middle ? code : x > middle ? code + 1 : even)
      if (got[0] !== even || got[1] !== near(below) || got[2] !== near(above) || got[3] !== (even | 0x8000)) {
        t.fail(`between ${low} and ${high}: ${[...got]}`)
      }
    }
    t.is(narrow(Float32Array.of(Infinity))[0], infinity)
    t.is(narrow(Float32Array.of(-0))[0], 0x8000)
  })
}

test('a single number converts as a tensor does', t => {
  for (const value of [0, 1, -2.5, 65504, 65520, 1e-8, 5.960464477539063e-8, 0.1]) {
    t.is(f16Bits(value), f32ToF16(Float32Array.of(value))[0])
  }
})

test('F8 codes have the values that PyTorch gives them', t => {
  const file = openSafetensors('test/fixtures/quant/fp8.safetensors')
  const codes = Uint8Array.from({ length: 256 }, (_, i) => i)
  t.deepEqual([...decodeToF32('F8_E4M3', codes)], [...readTensor(file, 'e4m3.table')])
  t.deepEqual([...decodeToF32('F8_E5M2', codes)], [...readTensor(file, 'e5m2.table')])
  t.is(readTensorRaw(file, 'e4m3.bytes').length, 519)
})

test('integers, booleans and F64 decode, from unaligned bytes too', t => {
  const unaligned = (bytes: ArrayBufferLike) => {
    const shifted = new Uint8Array(bytes.byteLength + 1)
    shifted.set(new Uint8Array(bytes), 1)
    return shifted.subarray(1)
  }
  t.deepEqual([...decodeToF32('I64', unaligned(BigInt64Array.of(-5n, 7n).buffer))], [-5, 7])
  t.deepEqual([...decodeToF32('I32', unaligned(Int32Array.of(-5, 7).buffer))], [-5, 7])
  t.deepEqual([...decodeToF32('I16', unaligned(Int16Array.of(-5, 7).buffer))], [-5, 7])
  t.deepEqual([...decodeToF32('I8', unaligned(Int8Array.of(-5, 7).buffer))], [-5, 7])
  t.deepEqual([...decodeToF32('U8', Uint8Array.of(255, 7))], [255, 7])
  t.deepEqual([...decodeToF32('BOOL', Uint8Array.of(0, 1))], [0, 1])
  t.deepEqual([...decodeToF32('F64', unaligned(Float64Array.of(0.5, -3).buffer))], [0.5, -3])
  t.deepEqual([...decodeToF32('F32', unaligned(Float32Array.of(0.5, -3).buffer))], [0.5, -3])
})
