/**
 * npm's install script: builds the addon when the package is installed as a dependency. Nothing depends on it having run
 * (npm may block it): the loader explains the same remedies. It therefore always exits 0, and only says what happened.
 * LORIKEET_SKIP_BUILD=1 skips it; so does a git checkout, where `npm test` and `npm run build` build.
 */
const fs = require('node:fs')
const path = require('node:path')
const { root } = require('./sources')
const { build, addonFile, markerFile } = require('./build')

function main() {
  if (process.env.LORIKEET_SKIP_BUILD === '1' || fs.existsSync(path.join(root, '.git'))) return
  if (process.platform !== 'linux') {
    explain(`The native addon builds on Linux only so far, and this is ${process.platform}.`)
    return
  }
  if (isLoadable()) return
  try {
    build()
    console.log('lorikeet: the native addon is built.')
  } catch (error) {
    explain(error.message)
  }
}

function isLoadable() {
  if (!fs.existsSync(addonFile) || !fs.existsSync(markerFile)) return false
  try {
    require(addonFile)
    return true
  } catch {
    return false
  }
}

function explain(reason) {
  const indented = reason.split('\n').map((line) => `    ${line}`)
  console.log(
    [
      'lorikeet: the native addon is not built, so nothing can be trained or generated yet.',
      '',
      ...indented,
      '',
      '  Planning and inspecting files work without it. To build it later:',
      '',
      `    node ${path.join(root, 'scripts', 'build.js')}`,
      '',
      '  Requirements and help: docs/guides/install.md in the repository.',
    ].join('\n'),
  )
}

try {
  main()
} catch (error) {
  explain(String(error?.stack ?? error)) // a failed build must not fail the installation of somebody's project
}
