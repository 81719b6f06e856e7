/**
 * Runs one op on the CPU device, without the graph: operands are written out, and a reference in double precision
 * stands in the test. Operand order and attributes: lib/graph/ops.
 */
import type { ExecutionContext } from 'ava'
import type { Program, ProgramTensor } from '../../lib/graph/program'
import { formatVersion } from '../../lib/graph/program'
import { openEngine, type Engine, type Values } from '../../lib/native'
import { relativeL2 } from './fixture-tensors'
import { testDevice } from './test-device'

export type ComputeDType = 'f32' | 'bf16'

/** An operand. The same object as input and output is the same memory. */
export interface TestTensor {
  dtype: ComputeDType | 'i32'
  shape: number[]
  /** Absent: an output in the arena, or a buffer of zeros. */
  data?: ArrayLike<number>
  /** Lies in a buffer: what the op adds to or updates in place. */
  buffer?: boolean
}

/** A copy of data, rounded when the tensor is bf16, so that a reference starts from the same values as the op. */
export function tensor(dtype: TestTensor['dtype'], shape: number[], data?: ArrayLike<number>): TestTensor {
  return { dtype, shape, data: data && Array.from(data, dtype === 'bf16' ? rounded : (x) => x) }
}

/** A tensor in a buffer, of zeros unless data is given. */
export function buffer(dtype: TestTensor['dtype'], shape: number[], data?: ArrayLike<number>): TestTensor {
  return { ...tensor(dtype, shape, data), buffer: true }
}

export function elements(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1)
}

/** The outputs after one run; an absent operand is undefined. */
export async function runOp(
  op: string,
  inputs: (TestTensor | undefined)[],
  outputs: (TestTensor | undefined)[],
  attributes: Record<string, number | string | number[]> = {},
  { threads = 1, device = testDevice } = {},
): Promise<Float32Array[]> {
  const present = [...new Set([...inputs, ...outputs])].filter((operand) => operand !== undefined)
  const prefix = `run${runs++}.` // buffers keep their size for as long as the engine lives, so each run has its own
  let arenaBytes = 0
  const tensors = present.map((operand, i): ProgramTensor => {
    const { dtype, shape } = operand
    if (operand.buffer) return { dtype, shape, space: 'buffer', offset: 0, name: `${prefix}${i}` }
    const offset = arenaBytes
    arenaBytes += Math.ceil((elements(shape) * 4) / 64) * 64
    return { dtype, shape, space: 'arena', offset, name: `${prefix}${i}` }
  })
  const index = (operand: TestTensor | undefined) => (operand ? present.indexOf(operand) : -1)
  const name = (operand: TestTensor) => `${prefix}${index(operand)}`
  const ports = (operands: (TestTensor | undefined)[]) =>
    [...new Set(operands)]
      .filter((operand) => operand !== undefined)
      .filter((operand) => !operand.buffer)
      .map((operand) => ({ name: name(operand), tensor: index(operand) }))
  const program: Program = {
    version: formatVersion,
    label: op,
    arenaBytes,
    tensors,
    instructions: [{ op, inputs: inputs.map(index), outputs: outputs.map(index), attributes }],
    inputs: ports(inputs.filter((operand) => operand?.data)),
    outputs: ports(outputs),
  }

  const engine = engineOf(device, threads)
  const values: Record<string, Values> = {}
  for (const operand of present) {
    const { dtype, shape, data } = operand
    if (operand.buffer && dtype === 'i32') {
      engine.createBuffer(name(operand), elements(shape) * 4)
      if (data) engine.writeBytes(name(operand), new Uint8Array(Int32Array.from(data).buffer))
    } else if (operand.buffer) {
      const type = dtype === 'bf16' ? 'bf16' : 'f32'
      engine.createBuffer(name(operand), elements(shape) * (type === 'bf16' ? 2 : 4), type)
      if (data) engine.writeBuffer(name(operand), 0, Float32Array.from(data))
    } else if (data && inputs.includes(operand)) {
      values[name(operand)] = dtype === 'i32' ? Int32Array.from(data) : Float32Array.from(data)
    }
  }
  const handle = engine.compile(program)
  try {
    const [results] = await engine.run([{ program: handle, inputs: values }])
    return outputs.map((operand) => {
      if (!operand) return new Float32Array()
      if (operand.buffer && operand.dtype === 'i32')
        return new Int32Array(engine.readBytes(name(operand)).buffer) as Values as Float32Array
      return operand.buffer
        ? engine.readBuffer(name(operand), 0, elements(operand.shape))
        : (results![name(operand)] as Float32Array)
    })
  } finally {
    engine.release(handle)
  }
}

let runs = 0
const engines = new Map<string, Engine>()

function engineOf(device: string, threads: number): Engine {
  const key = `${device} ${threads}`
  const engine = engines.get(key) ?? openEngine({ device, computeDtype: 'f32', threads })
  engines.set(key, engine)
  return engine
}

const bits = new Uint32Array(1)
const float = new Float32Array(bits.buffer)

/** The nearest bf16, ties to even. */
export function rounded(x: number): number {
  float[0] = x
  if (Number.isNaN(x)) return NaN
  bits[0] = (bits[0]! + 0x7fff + ((bits[0]! >>> 16) & 1)) & 0xffff0000
  return float[0]!
}

/** Normal numbers, the same for the same seed (mulberry32 and the Box-Muller transform). */
export function normals(count: number, seed: number, deviation = 1): number[] {
  let state = seed
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0
    let z = Math.imul(state ^ (state >>> 15), 1 | state)
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z
    return ((z ^ (z >>> 14)) >>> 0) / 4294967296
  }
  return Array.from({ length: count }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()))
    return Math.fround(deviation * radius * Math.cos(2 * Math.PI * uniform()))
  })
}

/** A tensor of normal numbers. */
export function randomTensor(dtype: ComputeDType, shape: number[], seed: number, deviation = 1): TestTensor {
  return tensor(dtype, shape, normals(elements(shape), seed, deviation))
}

/** f32 to 1e-6 relative L2; bf16 to 2.5 times the error of rounding the reference once. */
export function expectClose(
  t: ExecutionContext,
  got: ArrayLike<number>,
  expected: ArrayLike<number>,
  dtype: ComputeDType,
): void {
  const rounding = relativeL2(Array.from(expected, rounded), expected)
  const allowed = dtype === 'f32' ? 1e-6 : 2.5 * rounding + 1e-6
  const error = relativeL2(got, expected)
  t.true(error <= allowed, `relative L2 ${error}, allowed ${allowed}`)
}
