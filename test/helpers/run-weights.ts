/** `runOp` with frozen weights: some operands lie in the weight store, where the device may lay them out as it likes. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { formatVersion, type Program, type ProgramTensor } from '../../lib/graph/program'
import { openEngine, type Engine, type Values, type WeightSpec } from '../../lib/native'
import { elements, type TestTensor } from './run-op'
import { testDevice } from './test-device'

/** Frozen weights under a name; the values go through a file, in f32. */
export async function addTensors(engine: Engine, tensors: Record<string, TestTensor>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'weights-'))
  try {
    const path = join(folder, 'weights.bin')
    const specs: WeightSpec[] = []
    const parts: Buffer[] = []
    let offset = 0
    for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
      if (dtype === 'i32') throw new Error('weights are not whole numbers')
      const bytes = Buffer.from(Float32Array.from(data!).buffer)
      parts.push(bytes)
      const source = { kind: 'file', path, offset, bytes: bytes.length, dtype: 'f32', shape, layout: 'plain' } as const
      specs.push({ name, dtype, shape, sources: [source] })
      offset += bytes.length
    }
    writeFileSync(path, Buffer.concat(parts))
    await engine.addWeights(specs)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** An operand in the weight store. */
export interface WeightOperand {
  weight: string
  tensor: TestTensor
}

export type Input = TestTensor | WeightOperand | undefined

/** A program of one op; inputs and outputs that are not weights are ports `i0`, `i1`, .. and `o0`, `o1`, .. */
export function programOf(
  op: string,
  inputs: Input[],
  outputs: TestTensor[],
  attributes: Program['instructions'][number]['attributes'],
): Program {
  let arenaBytes = 0
  const tensors: ProgramTensor[] = []
  const place = (operand: Input, name: string): number => {
    if (!operand) return -1
    if ('weight' in operand) {
      tensors.push({
        dtype: operand.tensor.dtype,
        shape: operand.tensor.shape,
        space: 'weight',
        offset: 0,
        name: operand.weight,
      })
    } else {
      tensors.push({ dtype: operand.dtype, shape: operand.shape, space: 'arena', offset: arenaBytes, name })
      arenaBytes += Math.ceil((elements(operand.shape) * 4) / 64) * 64
    }
    return tensors.length - 1
  }
  const from = inputs.map((operand, i) => place(operand, `i${i}`))
  const to = outputs.map((operand, i) => place(operand, `o${i}`))
  return {
    version: formatVersion,
    label: op,
    arenaBytes,
    tensors,
    instructions: [{ op, inputs: from, outputs: to, attributes }],
    inputs: inputs.flatMap((operand, i) =>
      operand && !('weight' in operand) ? [{ name: `i${i}`, tensor: from[i]! }] : [],
    ),
    outputs: to.map((tensor, i) => ({ name: `o${i}`, tensor })),
  }
}

/** The values of the inputs that are ports. */
export function portValues(inputs: Input[]): Record<string, Values> {
  const values: Record<string, Values> = {}
  inputs.forEach((operand, i) => {
    if (operand && !('weight' in operand)) values[`i${i}`] = Float32Array.from(operand.data!)
  })
  return values
}

/** Runs one op in an engine of its own; the operands named in `weights` (by position) lie in the weight store. */
export async function runWithWeights(
  op: string,
  inputs: (TestTensor | undefined)[],
  outputs: TestTensor[],
  attributes: Program['instructions'][number]['attributes'],
  { weights = [1], threads = 1 }: { weights?: number[]; threads?: number } = {},
): Promise<Float32Array[]> {
  const engine = openEngine({ device: testDevice, computeDtype: 'f32', threads })
  try {
    const stored = Object.fromEntries(weights.map((i) => [`w${i}`, inputs[i]!]))
    await addTensors(engine, stored)
    const operands = inputs.map((operand, i): Input =>
      weights.includes(i) ? { weight: `w${i}`, tensor: operand! } : operand,
    )
    const handle = engine.compile(programOf(op, operands, outputs, attributes))
    const [result] = await engine.run([{ program: handle, inputs: portValues(operands) }])
    return outputs.map((_, i) => result![`o${i}`] as Float32Array)
  } finally {
    engine.close()
  }
}
