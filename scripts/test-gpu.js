/**
 * `npm run test:gpu`: the tests of ops, networks and training steps on an NVIDIA card, and one table to paste into a report.
 * Arguments choose other tests; LORIKEET_TEST_DEVICE another device (`cuda:1`, or `cuda-sim` to try the script without a card).
 */
const { execFileSync } = require('node:child_process')
const { root } = require('./sources')
const { opTests, stepTests } = require('./device-tests')
const { runAva, finish } = require('./test')

async function main(args) {
  require('./setup').setup()
  require('./build').build()
  const device = process.env.LORIKEET_TEST_DEVICE ?? 'cuda'
  const started = Date.now()
  const doctor = describe(device)
  const results = new Map()
  const counts = await runAva(args.length > 0 ? args : [...opTests, ...stepTests], {
    LORIKEET_TEST_DEVICE: device,
    onLine: (line) => note(results, line),
  })
  console.log(`\n${doctor}\n\n${table(results)}\n\n${((Date.now() - started) / 1000).toFixed(0)} s`)
  finish(counts)
}

/** What `lorikeet doctor` says; throws with its reason when there is no such device. */
function describe(device) {
  const cli = ['-r', 'ts-node/register/transpile-only', 'lib/cli/main.ts', 'doctor', '--json']
  const lines = execFileSync(process.execPath, cli, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  const records = lines.trim().split('\n').map((line) => JSON.parse(line))
  const found = records.find(({ event, name }) => event === 'device' && name === device)
  if (!found) {
    const missing = records.find(({ event, name }) => event === 'missing' && name === device.replace(/:.*/, ''))
    throw new Error(`There is no device ${device} here: ${missing?.problem ?? 'this machine has no such card'}.`)
  }
  const system = records.find(({ event }) => event === 'system')
  const rates = found.matmul ? `, ${(found.matmul / 1e12).toFixed(1)} TFLOP/s, ${(found.bandwidth / 1e9).toFixed(0)} GB/s` : ''
  return `${device}: ${found.description}${rates}\nlorikeet ${system.lorikeet}, cuda: ${system.cuda}, node ${system.node}, ${system.os}`
}

/** Counts a line of ava's report, `✔ native › linear › title`, for the file that it names. */
function note(results, line) {
  const [, mark, name] = /^\s*([✔✘√×]) (?:\[fail\]: )?(.*?) › [^›]*$/.exec(line) ?? []
  if (!name) return
  const row = results.get(name) ?? { passed: 0, failed: 0 }
  if (/[✔√]/.test(mark)) row.passed++
  else row.failed++
  results.set(name, row)
}

function table(results) {
  const width = Math.max(5, ...[...results.keys()].map((name) => name.length))
  const rows = [...results].sort().map(([name, { passed, failed }]) => [name, String(passed), failed > 0 ? String(failed) : ''])
  const line = ([name, passed, failed]) => `${name.padEnd(width)} ${passed.padStart(7)} ${failed.padStart(7)}`.trimEnd()
  return [['tests', 'passed', 'failed'], ...rows].map(line).join('\n')
}

if (require.main === module) {
  main(process.argv.slice(2)).catch((error) => {
    console.error(error.message)
    process.exitCode = 1
  })
}

module.exports = { note, table }
