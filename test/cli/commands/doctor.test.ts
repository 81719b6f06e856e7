import test from 'ava'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { devices } from '../../../lib/native'
import { runCli } from '../../helpers/run-cli'

interface Line {
  event: string
  name?: string
  problem?: string
  memory?: number
  tuning?: { file: string; entries: number }
  fits?: { size: number; keep: number; recompute: number }[]
}

test('doctor names every device, what fits on it, where its kernels are kept, and why there is no card', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'lorikeet-doctor-'))
  process.env.LORIKEET_TUNING = folder
  const { code, records } = await runCli(['doctor', '--no-measure', '--json'])
  t.is(code, 0)
  const lines = records() as unknown as Line[]
  t.is(lines[0]!.event, 'system')
  const found = lines.filter(({ event }) => event === 'device')
  t.deepEqual(
    found.map(({ name }) => name),
    devices().map(({ name }) => name),
  )
  for (const { name, memory, fits, tuning } of found) {
    if (name === 'cpu') t.is(tuning, undefined)
    else t.like(tuning, { entries: 0 }) && t.is(dirname(tuning!.file), folder)
    t.true(memory! > 2 ** 30, `${name} may take ${memory} bytes`)
    t.deepEqual(fits!.map(({ size }) => size), [512, 768, 1024])
    for (const { keep, recompute } of fits!) t.true(recompute < keep && recompute > 1.6 * 2 ** 30)
  }
  const missing = lines.find(({ event, name }) => event === 'missing' && name === 'cuda')
  t.is(missing === undefined, devices().some(({ name }) => name === 'cuda'))
  if (missing) t.regex(missing.problem!, /driver|card|built without/)
})
