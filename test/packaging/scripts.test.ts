/** What `npm test` concludes from ava's report, what makes set-up install, and what an installation prints. */
import test from 'ava'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { packageRoot } from '../../lib/native-loader'

interface Counts {
  passed: number
  failed: number
  skipped: number
}
const { count } = require('../../scripts/test') as { count(text: string, status: number): Counts }
const root = packageRoot()

test('a run without failures is counted by its summary', (t) => {
  const report = '\n  ✔ a › works\n  ✔ b › works (1.2s)\n  ─\n\n  2 tests passed\n'
  t.deepEqual(count(report, 0), { passed: 2, failed: 0, skipped: 0 })
})

test('skipped tests and those to be written are counted apart', (t) => {
  const report = '  ✔ a\n  - [skip] b\n  ─\n\n  1 test passed\n  1 test skipped\n  1 test todo\n'
  t.deepEqual(count(report, 0), { passed: 1, failed: 0, skipped: 2 })
})

test('failures of tests, hooks and stray errors add up', (t) => {
  const summary = '  ─\n\n  1 hook failed\n  2 tests failed\n  1 unhandled rejection\n  3 uncaught exceptions\n'
  t.deepEqual(count(`  ✔ fine\n  ✘ [fail]: x\n  ─\n\n  x\n\n  5 tests passed\n${summary}`, 1), { passed: 1, failed: 7, skipped: 0 })
})

test('colours do not confuse the count', (t) => {
  const report = '  \u001b[32m✔\u001b[39m a\n  \u001b[90m─\u001b[39m\n\n  \u001b[32m1 test passed\u001b[39m\n'
  t.deepEqual(count(report, 0), { passed: 1, failed: 0, skipped: 0 })
})

test('a run that ended badly without saying so counts as a failure', (t) => {
  t.deepEqual(count('  ✔ a\n', 1), { passed: 1, failed: 1, skipped: 0 })
})

test('a run without tests has passed nothing', (t) => {
  t.is(count('\n  ✘ Couldn’t find any files to test\n\n', 1).passed, 0)
})

test('an installation that cannot build explains itself and still succeeds', (t) => {
  const copy = mkdtempSync(join(tmpdir(), 'lorikeet-install-'))
  for (const name of ['scripts', 'package.json']) cpSync(join(root, name), join(copy, name), { recursive: true })
  const { status, stdout } = spawnSync(process.execPath, [join(copy, 'scripts', 'install.js')], {
    encoding: 'utf8',
    env: { PATH: '/nowhere' },
  })
  t.is(status, 0)
  t.regex(stdout, /The build needs a C\+\+ compiler/)
  t.true(stdout.includes(`node ${join(copy, 'scripts', 'build.js')}`))
})

test('LORIKEET_SKIP_BUILD=1 skips the build without a word', (t) => {
  const copy = mkdtempSync(join(tmpdir(), 'lorikeet-install-'))
  for (const name of ['scripts', 'package.json']) cpSync(join(root, name), join(copy, name), { recursive: true })
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(copy, 'scripts', 'install.js')], {
    encoding: 'utf8',
    env: { PATH: '/nowhere', LORIKEET_SKIP_BUILD: '1' },
  })
  t.deepEqual([status, stdout, stderr], [0, '', ''])
})
