/**
 * One training step of `random:sd15` against that of a peer, in one run on one machine, taking turns:
 *
 *     npx ts-node --transpile-only scripts/bench/step.ts --peer "python3 step.py --rank 16 --n 6" --rank 16
 *
 * The peer is any program that prints a line `step I 3.65s ...` for each step and at its end `median 3.65 peakRSS_GiB 4.1`.
 * Both are told the number of threads (OMP_NUM_THREADS), and the first step of each turn is left out. Without a peer only our
 * own figures are printed, and how far they are from the floor: the step's flops at the rate of large matrix products.
 */
import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { formatBytes } from '../../lib/base/units'
import { table } from '../../lib/cli/render'
import { packageRoot } from '../../lib/native-loader'
import { openDevice } from '../../lib/pipeline/device'
import { median } from '../../lib/train/benchmark'
import { measureMatmulRate } from '../../lib/train/matmul-rate'

/** Steps of one side from all turns. */
export interface Side {
  seconds: number[]
  /** Bytes. */
  peakRss: number
}

interface Ours extends Side {
  flops: number
}

/** @throws Error when the program's output has neither steps nor a median */
export function parsePeer(text: string): Side {
  const seconds = [...text.matchAll(/^step (\d+) ([\d.]+) ?s/gm)].filter(([, step]) => step !== '0').map((match) => Number(match[2]))
  const stated = /^median ([\d.]+)/m.exec(text)?.[1]
  const peak = /peakRSS_GiB ([\d.]+)/.exec(text)?.[1]
  if (seconds.length === 0 && stated !== undefined) seconds.push(Number(stated))
  if (seconds.length === 0) throw new Error(`the peer printed no step after the first:\n${text}`)
  return { seconds, peakRss: Number(peak ?? NaN) * 2 ** 30 }
}

/** @param text what `lorikeet bench --json` prints for one rank */
export function parseOurs(text: string): Ours {
  const records = text.split('\n').filter(Boolean).map((line) => JSON.parse(line) as { event: string } & Ours)
  const found = records.find(({ event }) => event === 'rank')
  if (!found) throw new Error(`our run printed no result:\n${text}`)
  return { seconds: found.seconds, peakRss: found.peakRss, flops: found.flops }
}

export function mergeTurns<S extends Side>(turns: readonly S[]): S {
  return { ...turns[0]!, seconds: turns.flatMap(({ seconds }) => seconds), peakRss: Math.max(...turns.map(({ peakRss }) => peakRss)) }
}

/** Both sides and their ratio, ours over theirs. */
export function compare(ours: Side, peer: Side | undefined): string {
  const row = (name: string, of: (side: Side) => number, format: (value: number) => string) =>
    peer ? [name, format(of(ours)), format(of(peer)), (of(ours) / of(peer)).toFixed(3)] : [name, format(of(ours))]
  const seconds = (value: number) => `${value.toFixed(3)} s`
  return table([
    peer ? ['', 'ours', 'peer', 'ratio'] : ['', 'ours'],
    row('median', (side) => median(side.seconds), seconds),
    row('fastest', (side) => Math.min(...side.seconds), seconds),
    row('peak RSS', (side) => side.peakRss, formatBytes),
  ])
}

/** Standard output of a program; its errors are shown as they come. */
function output(command: string, args: readonly string[], { shell = false, cwd, threads }: { shell?: boolean; cwd?: string; threads: number }): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, OMP_NUM_THREADS: String(threads) }
    const child = spawn(command, args, { shell, env, ...(cwd && { cwd }), stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    child.stdout.on('data', (bytes: Buffer) => (text += bytes.toString('utf8')))
    child.on('error', reject)
    child.on('close', (code) => (code === 0 ? resolve(text) : reject(new Error(`${command} ended with code ${code}\n${text}`))))
  })
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      peer: { type: 'string' },
      base: { type: 'string', default: 'random:sd15' },
      rank: { type: 'string', default: '16' },
      size: { type: 'string', default: '512' },
      batch: { type: 'string', default: '1' },
      steps: { type: 'string', default: '5' },
      turns: { type: 'string', default: '2' },
      threads: { type: 'string', default: String(availableParallelism()) },
      'compute-dtype': { type: 'string', default: 'auto' },
    },
  })
  const { peer, turns, threads: threadsText, 'compute-dtype': dtype, rank, ...passed } = values
  const threads = Number(threadsText)
  const computeDtype = dtype === 'f32' || dtype === 'bf16' ? dtype : 'auto'
  const device = openDevice('cpu', { computeDtype, threads })
  const cli = ['-r', 'ts-node/register/transpile-only', join('lib', 'cli', 'main.ts'), 'bench', '--json']
  const own = Object.entries({ ...passed, ranks: rank, threads, 'compute-dtype': device.computeDtype }).flatMap(([key, value]) => [
    `--${key}`,
    String(value),
  ])
  const ours: Ours[] = []
  const theirs: Side[] = []
  for (let turn = 0; turn < Number(turns); turn++) {
    ours.push(parseOurs(await output(process.execPath, [...cli, ...own], { cwd: packageRoot(), threads })))
    if (peer) theirs.push(parsePeer(await output(peer, [], { shell: true, threads })))
  }
  const all = mergeTurns(ours)
  console.log(`${values.base}, rank ${rank}, ${values.size}x${values.size}, batch ${values.batch}, ${device.computeDtype}, ${device.description}`)
  console.log(compare(all, peer ? mergeTurns(theirs) : undefined))
  const rate = await measureMatmulRate(device)
  const floor = all.flops / rate
  console.log(
    `floor ${floor.toFixed(3)} s: ${(all.flops / 1e12).toFixed(3)} TFLOP at ${(rate / 1e12).toFixed(2)} TFLOP/s;` +
      ` the fastest step takes ${(Math.min(...all.seconds) / floor).toFixed(2)} times as long`,
  )
}

if (require.main === module) void main()
