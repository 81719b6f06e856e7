/**
 * Runs programs on an emulated card of one's choice. The emulator reads its variables from the process's environment, which
 * the threads of the tests cannot change, so this file starts itself as a process.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Program } from '../../lib/graph/program'
import { openEngine, type Choices, type EngineOptions } from '../../lib/native'
import { elements, normals } from './run-op'

/** Programs on one engine; each runs twice, the second time as a graph, on normal numbers, the same for each. */
export interface Job {
  programs: Program[]
  options?: Partial<EngineOptions>
}

export interface Result {
  /** Of the outputs' bits and the buffers': of each program, of each run. */
  hashes: string[][]
  measured: Choices
}

export function onEmulatedCard(jobs: Job[], { card = 'RTX 3060 12GB', mode = 'strict' } = {}): Result[] {
  const env = { ...process.env, LORIKEET_CUDA_SIM: mode, LORIKEET_CUDA_SIM_CARD: card }
  const args = ['--require', 'ts-node/register/transpile-only', __filename]
  const options = { env, input: JSON.stringify(jobs), encoding: 'utf8', maxBuffer: 2 ** 26, cwd: join(__dirname, '../..') } as const
  return JSON.parse(execFileSync(process.execPath, args, options)) as Result[]
}

async function work({ programs, options }: Job): Promise<Result> {
  const engine = openEngine({ device: 'cuda-sim', computeDtype: 'f32', ...options })
  const hashes: string[][] = []
  for (const program of programs) {
    const buffers = program.tensors.filter(({ space }) => space === 'buffer')
    for (const { name, shape } of buffers) engine.createBuffer(name, elements(shape) * 4, 'f32')
    const inputs = Object.fromEntries(
      program.inputs.map(({ name, tensor }, i) => [name, Float32Array.from(normals(elements(program.tensors[tensor]!.shape), i + 1))]),
    )
    const step = { program: engine.compile(program), inputs }
    const ofProgram: string[] = []
    for (let i = 0; i < 2; i++) {
      const [outputs] = await engine.run([step])
      const hash = createHash('sha256')
      for (const { name } of program.outputs) hash.update(new Uint8Array(outputs![name]!.buffer))
      for (const { name } of buffers) hash.update(engine.readBytes(name))
      ofProgram.push(hash.digest('hex'))
    }
    engine.release(step.program)
    for (const { name } of buffers) engine.removeBuffer(name)
    hashes.push(ofProgram)
  }
  const measured = engine.measured()
  engine.close()
  return { hashes, measured }
}

async function main(): Promise<void> {
  const results: Result[] = []
  for (const job of JSON.parse(readFileSync(0, 'utf8')) as Job[]) results.push(await work(job))
  console.log(JSON.stringify(results))
}

if (require.main === module) void main()
