/**
 * `npm test`: from a fresh clone to test results. Sets the machine up, builds the addon, checks types, runs ava; each of
 * the first three does nothing, quickly, where nothing changed. Arguments go to ava: `npm test -- test/formats`.
 * Ends with one line for programs that read it: `12 passed, 0 failed` or `11 passed, 0 failed, 1 skipped`. Exits
 * non-zero when anything failed or no test ran.
 */
const { spawn, spawnSync } = require('node:child_process')
const path = require('node:path')
const { stripVTControlCharacters } = require('node:util')
const { emulatedStepTests, opTests } = require('./device-tests')
const { root } = require('./sources')

async function main(args) {
  try {
    require('./setup').setup()
    require('./build').build()
  } catch (error) {
    console.error(error.message)
    return finish({ passed: 0, failed: 1, skipped: 0 })
  }
  if (runNode('typescript/bin/tsc', ['--noEmit']) !== 0) {
    console.error('The types do not check; no test was run.')
    return finish({ passed: 0, failed: 1, skipped: 0 })
  }
  const counts = [await runAva(args)]
  if (args.length === 0) counts.push(...(await runEmulated()))
  finish(counts.reduce((a, b) => ({ passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped })))
}

/** The tests of ops and of training steps once more, on the emulated card: ops with every access checked. */
async function runEmulated() {
  console.log('\nOn the emulated card (cuda-sim):')
  const device = { LORIKEET_TEST_DEVICE: 'cuda-sim' }
  return [await runAva(opTests, { ...device, LORIKEET_CUDA_SIM: 'strict' }), await runAva(emulatedStepTests, device)]
}

function finish({ passed, failed, skipped }) {
  console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0
}

/** Runs ava, passing its output on, and counts. `env` serves other ways of running, `onLine` sees each line that ava prints. */
function runAva(args, { onLine, ...env } = {}) {
  const color = process.stdout.isTTY ? { FORCE_COLOR: '1' } : {}
  const child = spawn(process.execPath, [path.join(root, 'node_modules/ava/entrypoints/cli.mjs'), ...args], {
    cwd: root,
    env: { ...process.env, ...color, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.on('data', (chunk) => {
    text += chunk
    process.stdout.write(chunk)
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (status) => {
      if (onLine) stripVTControlCharacters(text).split(/\r?\n/).forEach(onLine)
      resolve(count(text, status))
    })
  })
}

/**
 * Reads ava's report. Its summary comes after the last line that is a rule (─) and says `3 tests failed`, `1 hook
 * failed`, `2 tests skipped` and so on; how many passed it says only when none failed, so otherwise ticks are counted.
 */
function count(text, status) {
  const lines = stripVTControlCharacters(text).split(/\r?\n/)
  const rule = lines.findLastIndex((line) => /^[─-]+$/.test(line.trim()))
  const summary = rule < 0 ? [] : lines.slice(rule + 1).map((line) => line.trim())
  const number = (pattern) => parseInt(summary.find((line) => pattern.test(line)) ?? '0')
  const failed =
    number(/^\d+ tests? failed$/) +
    number(/^\d+ hooks? failed$/) +
    number(/^\d+ uncaught exceptions?$/) +
    number(/^\d+ unhandled rejections?$/)
  const ticks = lines.filter((line) => /^\s*[✔√] /.test(line)).length
  const passed = number(/^\d+ tests? passed$/) || ticks
  const skipped = number(/^\d+ tests? skipped$/) + number(/^\d+ tests? todo$/)
  return { passed, failed: status === 0 ? failed : Math.max(failed, 1), skipped }
}

function runNode(script, args) {
  return spawnSync(process.execPath, [path.join(root, 'node_modules', script), ...args], { cwd: root, stdio: 'inherit' })
    .status
}

if (require.main === module) main(process.argv.slice(2))

module.exports = { runAva, count, finish }
