import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import type { Benchmark } from '../../../lib/train/benchmark'
import { runCli } from '../../helpers/run-cli'
import { tinyModel } from '../../helpers/tiny-pipeline'

const bench = (...args: string[]) => runCli(['bench', '--base', tinyModel, '--size', '64', '--steps', '2', ...args])

test('each rank gets a record with times, flops, memory and profile', async (t) => {
  const { code, err, records } = await bench('--ranks', '2,4', '--batch', '2', '--profile', '--json')
  t.is(code, 0, err)
  const [head, ...results] = records() as [Record<string, unknown>, ...(Benchmark & { event: string })[]]
  t.like(head, { event: 'bench', size: 64, batch: 2 })
  t.deepEqual(results.map(({ event, rank }) => [event, rank]), [['rank', 2], ['rank', 4]])
  for (const { seconds, median, min, memory, peakRss, profile, loss } of results) {
    t.is(seconds.length, 2)
    t.is(median, (seconds[0]! + seconds[1]!) / 2)
    t.is(min, Math.min(...seconds))
    t.true(memory.arena > 0 && memory.buffers > 0 && memory.weights + memory.packed > 0)
    t.true(peakRss > memory.arena + memory.buffers)
    t.true(Number.isFinite(loss))
    t.true(profile!.ops.some(({ op, ms, flops }) => op === 'conv2d' && ms > 0 && flops > 0))
    t.true(profile!.labels.length >= profile!.ops.length)
  }
  // Twice the rank, twice the low-rank part; the rest stays.
  t.true(results[1]!.flops > results[0]!.flops)
  t.is(results[1]!.memory.buffers, 2 * results[0]!.memory.buffers)
})

test('people get a table, and a picture if they ask for one', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'lorikeet-bench-'))
  const svg = join(folder, 'bench.svg')
  const { code, out, err } = await bench('--ranks', '2', '--peak', '--svg', svg)
  t.is(code, 0, err)
  t.regex(out, /of peak\n.* \d+%\n/)
  const drawn = readFileSync(svg, 'utf8')
  rmSync(folder, { recursive: true })
  t.regex(drawn, /^<svg [^]*>rank 2<[^]*it\/s<[^]*[KMG]iB<[^]*<\/svg>\n$/)
  t.regex(out, /rank\s+s\/step\s+fastest\s+it\/s\s+images\/s\s+TFLOP\s+TFLOP\/s\s+arena\s+weights\s+packed\s+buffers\s+peak RSS\s+of peak\n\s+2\s+0\.\d/)
})

test('ranks and sizes that make no sense are refused', async (t) => {
  for (const [args, message] of [
    [['--ranks', '0'], /--ranks.*1 to 256/],
    [['--ranks', '8,x'], /--ranks/],
    [['--size', '100'], /--size.*multiple of 8/],
    [['--steps', '0'], /--steps/],
  ] as const) {
    const { code, err } = await bench(...args)
    t.is(code, 2)
    t.regex(err, message)
  }
})
