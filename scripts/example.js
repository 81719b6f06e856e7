/**
 * `npm run example`: sets the machine up, builds the addon, then trains a LoRA on real drawings and shows what it learned
 * (scripts/demo/example.ts). Arguments are passed on.
 */
const { spawnSync } = require('node:child_process')
const path = require('node:path')
const { root } = require('./sources')

try {
  require('./setup').setup()
  require('./build').build()
} catch (error) {
  console.error(error.message)
  process.exit(1)
}
const script = path.join(root, 'scripts', 'demo', 'example.ts')
const { status } = spawnSync(process.execPath, ['-r', 'ts-node/register/transpile-only', script, ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
})
process.exit(status ?? 1)
