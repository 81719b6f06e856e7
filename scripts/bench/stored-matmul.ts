/**
 * What opening a quantised weight inside its product saves, by the emulator's counters and roofline, beside opening it into a
 * block first:
 *
 *     npx ts-node --transpile-only scripts/bench/stored-matmul.ts [rows ...]
 *
 * Prints for each layer microseconds of both ways and their ratio on three cards, then the sectors over the least and the bank
 * conflicts of the fused way. Needs g++ alone.
 */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

const { compile, link, out }: {
  compile(file: string, variant: { folder: string; flags: string[] }): string
  link(objects: string[], args: string[], target: string): void
  out: string
} = require('../cuda/sim')
const { root, walk }: { root: string; walk(folder: string): string[] } = require('../sources')

const emulator = walk(join(root, 'cuda/sim')).filter((file) => file.endsWith('.cc'))
const sources = [
  'scripts/bench/stored_matmul.cc',
  ...['gemm/matmul', 'gemm/stored_matmul', 'gemm/tile_choice', 'dequantise'].map((name) => `cuda/${name}.cu`),
  ...emulator.map((file) => file.slice(root.length + 1)),
]
const program = join(out, 'bin', 'bench-stored-matmul')
link(sources.map((file) => compile(file, { folder: '', flags: [] })), [], program)
const rows = process.argv.slice(2)
execFileSync(program, rows.length > 0 ? rows : ['1', '64', '77', '128', '192', '256'], { stdio: 'inherit' })
