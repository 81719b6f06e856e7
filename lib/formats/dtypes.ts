/**
 * Number formats of tensors in files, and their conversion to and from f32. Bytes in files are little-endian, as are
 * the machines that Node.js runs on, so typed arrays read them as they lie.
 *
 * F16 is IEEE 754 binary16, BF16 the upper half of an f32, F8_E4M3 the variant without infinities ("e4m3fn") and
 * F8_E5M2 the one with them (Micikevicius et al. 2022, arXiv:2209.05433). All narrowing rounds to nearest, ties to
 * even.
 */

/** Bytes per element of every dtype that can be read. */
export const dtypeBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
} as const

export type Dtype = keyof typeof dtypeBytes

/** The dtypes that training results are stored in. */
export type FloatDtype = 'F32' | 'F16' | 'BF16'

export function isDtype(name: string): name is Dtype {
  return Object.hasOwn(dtypeBytes, name)
}

/** Largest finite value of F16; 65520 and above round to infinity. */
export const f16Max = 65504

const scratch = new DataView(new ArrayBuffer(4))

/** Bits of the binary16 nearest to `value`. */
export function f16Bits(value: number): number {
  scratch.setFloat32(0, value)
  return narrowToF16(scratch.getUint32(0))
}

function narrowToF16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7e00 // NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00 // 65520 and above, infinity
  if (magnitude >= 0x38800000) {
    // Normal: the exponent's bias goes from 127 to 15, 13 bits of the mantissa are rounded away.
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13)
  }
  if (magnitude <= 0x33000000) return sign // up to 2^-25, half of the smallest subnormal: the tie goes to zero
  const mantissa = (magnitude & 0x7fffff) | 0x800000
  const dropped = 126 - (magnitude >>> 23)
  const quotient = mantissa >>> dropped
  const rest = mantissa - quotient * 2 ** dropped
  const half = 2 ** (dropped - 1)
  return sign | (rest > half || (rest === half && (quotient & 1) === 1) ? quotient + 1 : quotient)
}

function narrowToBf16(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return ((bits >>> 16) & 0x8000) | 0x7fc0 // NaN: rounding could make it infinite
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16
}

/** f32 -> F16 bits. */
export function f32ToF16(values: Float32Array): Uint16Array {
  return narrow(values, narrowToF16)
}

/** f32 -> BF16 bits. */
export function f32ToBf16(values: Float32Array): Uint16Array {
  return narrow(values, narrowToBf16)
}

function narrow(values: Float32Array, convert: (bits: number) => number): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const out = new Uint16Array(values.length)
  for (let i = 0; i < out.length; i++) out[i] = convert(bits[i])
  return out
}

/** F16 bits -> f32, exact. */
export function f16ToF32(values: Uint16Array): Float32Array {
  return lookUp(values, f16Table())
}

/** BF16 bits -> f32, exact. */
export function bf16ToF32(values: Uint16Array): Float32Array {
  const out = new Float32Array(values.length)
  const bits = new Uint32Array(out.buffer)
  for (let i = 0; i < values.length; i++) bits[i] = values[i] << 16
  return out
}

function lookUp(codes: Uint16Array | Uint8Array, table: Float32Array): Float32Array {
  const out = new Float32Array(codes.length)
  for (let i = 0; i < codes.length; i++) out[i] = table[codes[i]]
  return out
}

/**
 * Value of every code of a small float: sign, `exponentBits`, `mantissaBits`; the usual bias.
 * @param top what the largest exponent means: `ieee` infinity and NaN, `finite` numbers, with NaN where all bits are
 *   set
 */
function floatTable(exponentBits: number, mantissaBits: number, top: 'ieee' | 'finite'): Float32Array {
  const signBit = 2 ** (exponentBits + mantissaBits)
  const bias = 2 ** (exponentBits - 1) - 1
  const lastExponent = 2 ** exponentBits - 1
  const table = new Float32Array(2 * signBit)
  for (let code = 0; code < signBit; code++) {
    const exponent = code >>> mantissaBits
    const fraction = (code & (2 ** mantissaBits - 1)) / 2 ** mantissaBits
    let value = exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias)
    if (top === 'ieee' && exponent === lastExponent) value = fraction === 0 ? Infinity : NaN
    if (top === 'finite' && code === signBit - 1) value = NaN
    table[code] = value
    table[code + signBit] = -value
  }
  return table
}

const once = <T>(make: () => T): (() => T) => {
  let made: T | undefined
  return () => (made ??= make())
}
const f16Table = once(() => floatTable(5, 10, 'ieee'))
const e4m3Table = once(() => floatTable(4, 3, 'finite'))
const e5m2Table = once(() => floatTable(5, 2, 'ieee'))

/**
 * Elements of any dtype as f32 (F64 and large integers are rounded to the nearest f32).
 * @param bytes the tensor's bytes, a multiple of the element size
 */
export function decodeToF32(dtype: Dtype, bytes: Uint8Array): Float32Array {
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : bytes.slice()
  const { buffer, byteOffset } = aligned
  const length = aligned.length / dtypeBytes[dtype]
  switch (dtype) {
    case 'F32':
      return new Float32Array(buffer, byteOffset, length)
    case 'F64':
      return Float32Array.from(new Float64Array(buffer, byteOffset, length))
    case 'F16':
      return f16ToF32(new Uint16Array(buffer, byteOffset, length))
    case 'BF16':
      return bf16ToF32(new Uint16Array(buffer, byteOffset, length))
    case 'F8_E4M3':
      return lookUp(aligned, e4m3Table())
    case 'F8_E5M2':
      return lookUp(aligned, e5m2Table())
    case 'I64':
      return Float32Array.from(new BigInt64Array(buffer, byteOffset, length), Number)
    case 'I32':
      return Float32Array.from(new Int32Array(buffer, byteOffset, length))
    case 'I16':
      return Float32Array.from(new Int16Array(buffer, byteOffset, length))
    case 'I8':
      return Float32Array.from(new Int8Array(buffer, byteOffset, length))
    case 'U8':
    case 'BOOL':
      return Float32Array.from(aligned)
    default:
      return dtype satisfies never
  }
}

/** f32 values as the bytes of a float dtype. F32 shares the memory of `values`. */
export function encodeFromF32(dtype: FloatDtype, values: Float32Array): Uint8Array {
  const narrowed = dtype === 'F16' ? f32ToF16(values) : dtype === 'BF16' ? f32ToBf16(values) : values
  return new Uint8Array(narrowed.buffer, narrowed.byteOffset, narrowed.byteLength)
}
