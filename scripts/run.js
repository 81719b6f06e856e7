/**
 * Runs a TypeScript program of this repository on a fresh machine: sets the machine up, builds the addon, each quickly where
 * nothing is missing, then runs the program with the arguments that follow its name.
 *
 *   node scripts/run.js scripts/demo/demo.ts [ARGUMENTS]
 */
const { spawnSync } = require('node:child_process')
const { root } = require('./sources')

const started = Date.now()
try {
  require('./setup').setup()
  require('./build').build()
} catch (error) {
  console.error(error.message)
  process.exit(1)
}
console.log(`Set-up and build: ${Math.round((Date.now() - started) / 1000)} s\n`)
const [program, ...args] = process.argv.slice(2)
const { status } = spawnSync(process.execPath, ['-r', 'ts-node/register/transpile-only', program, ...args], { cwd: root, stdio: 'inherit' })
process.exit(status ?? 1)
