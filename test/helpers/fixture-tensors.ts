/**
 * Reads reference tensors for tests: a safetensors reader of a few lines that shares no code with lib/formats, and the
 * relative L2 distance in which the fixtures state their tolerances.
 */
import { readFileSync } from 'node:fs'
import path from 'node:path'

export interface FixtureTensor {
  dtype: string
  shape: number[]
  data: Float32Array | Float64Array | Int32Array | Uint16Array | BigInt64Array | Uint8Array | Int8Array
}

/** The absolute path of a file below test/fixtures. */
export function fixturePath(...parts: string[]): string {
  return path.join(__dirname, '..', 'fixtures', ...parts)
}

export function readFixtureJson<T>(...parts: string[]): T {
  return JSON.parse(readFileSync(fixturePath(...parts), 'utf8')) as T
}

/** All tensors of a safetensors file below test/fixtures. */
export function readFixtureTensors(...parts: string[]): Map<string, FixtureTensor> {
  const file = readFileSync(fixturePath(...parts))
  const headerBytes = Number(file.readBigUInt64LE(0))
  type Entry = { dtype: string, shape: number[], data_offsets: [number, number] }
  const header = JSON.parse(file.toString('utf8', 8, 8 + headerBytes)) as Record<string, Entry>
  const tensors = new Map<string, FixtureTensor>()
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue
    const [begin, end] = entry.data_offsets.map((o) => o + 8 + headerBytes) as [number, number]
    const bytes = new Uint8Array(file.subarray(begin, end)).buffer // copied, so aligned
    tensors.set(name, { dtype: entry.dtype, shape: entry.shape, data: view(entry.dtype, bytes) })
  }
  return tensors
}

function view(dtype: string, bytes: ArrayBuffer): FixtureTensor['data'] {
  switch (dtype) {
    case 'F32': return new Float32Array(bytes)
    case 'F64': return new Float64Array(bytes)
    case 'I32': return new Int32Array(bytes)
    case 'I64': return new BigInt64Array(bytes)
    case 'F16':
    case 'BF16': return new Uint16Array(bytes)
    case 'I8': return new Int8Array(bytes)
    case 'U8': return new Uint8Array(bytes)
    default: throw new Error(`this helper does not read ${dtype}`)
  }
}

/** The values of one tensor as plain numbers. */
export function numbers(tensors: Map<string, FixtureTensor>, name: string): number[] {
  const tensor = tensors.get(name)
  if (!tensor) throw new Error(`no tensor ${name}`)
  return Array.from(tensor.data as ArrayLike<number | bigint>, Number)
}

/** The values of one F32 tensor. */
export function floats(tensors: Map<string, FixtureTensor>, name: string): Float32Array {
  return Float32Array.from(numbers(tensors, name))
}

/** ||a - b|| / ||b|| in double precision. */
export function relativeL2(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new Error(`lengths differ: ${a.length} and ${b.length}`)
  let difference = 0
  let norm = 0
  for (let i = 0; i < a.length; i++) {
    difference += (a[i]! - b[i]!) ** 2
    norm += b[i]! ** 2
  }
  return norm === 0 ? Math.sqrt(difference) : Math.sqrt(difference / norm)
}
