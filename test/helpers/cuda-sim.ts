/** Running the emulator's test programs: test/cuda/<name>.cc with cuda/<name>.cu, compiled when out of date. */
import { execFileSync } from 'node:child_process'

const { buildProgram }: { buildProgram(name: string): string } = require('../../scripts/cuda/sim')

export interface Fault {
  kind: string
  message: string
  file: string
  line: number
}

/** What a kernel did, per launch of it (cuda/sim/counters.h). */
export interface Counters {
  blocks: number
  sharedBytes: number
  tensorInstructions: number
  tensorFlops: number
  matrixLoads: number
  loadBytes: number
  loadSectors: number
  storeBytes: number
  storeSectors: number
  sectorFactor: number
  sharedWavefronts: number
  conflictFactor: number
  blockBarriers: number
  warpBarriers: number
  dramReadBytes: number
  dramWrittenBytes: number
  roofline: Record<string, { us: number; bound: string }>
}

/** One case of a program; the fields beside these are the program's own. */
export type Case<Fields> = Fields & { case: string; fault?: Fault }

/** Builds the program if need be, runs it and reads its lines. */
export function runProgram<Fields>(name: string): Case<Fields>[] {
  const output = execFileSync(buildProgram(name), { encoding: 'utf8', maxBuffer: 2 ** 26 })
  return output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Case<Fields>)
}
