/**
 * Builds the native addon into build/Release/lorikeet.node, and does nothing when it is up to date.
 *
 *   node scripts/build.js [--tool cmake-js|node-gyp] [--force]
 *
 * cmake-js is used where CMake is installed, node-gyp elsewhere. Both put the addon in the same place, and neither copes
 * with the other's leftovers, so build/ is emptied when the tool changes. The marker lorikeet.done is removed first and
 * written last: the loader (lib/native-loader.ts) refuses an addon without it, so an interrupted build is never loaded.
 * Plain JavaScript without dependencies: it also runs inside an installed package.
 */
const { spawnSync } = require('node:child_process')
const crypto = require('node:crypto')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { root, folders, walk } = require('./sources')
const { describeCuda } = require('./cuda/nvcc')
const { detect, check, describe, resolve, BuildError, installCommand } = require('./toolchain')

const buildFolder = path.join(root, 'build')
const addonFile = path.join(buildFolder, 'Release', 'lorikeet.node')
const markerFile = path.join(buildFolder, 'Release', 'lorikeet.done')

/**
 * Returns the addon's path; throws BuildError. `tool` forces one of the tools, `force` builds although up to date,
 * `print` receives lines for people.
 */
function build({ tool, force = false, print = console.log } = {}) {
  const found = detect()
  const chosen = tool ?? (found.cmake && found.cmakeJs ? 'cmake-js' : 'node-gyp')
  check(found, chosen)
  if (!force && isUpToDate(hashInputs(found), tool)) return addonFile

  return withLock(print, () => {
    const inputs = hashInputs(found)
    if (!force && isUpToDate(inputs, tool)) return addonFile // by the build that this one waited for
    print(`compiler: ${found.compilerName} ${found.compiler}`)
    print(`cpu:      oneDNN ${found.dnnl}, baseline ${process.arch === 'x64' ? 'x86-64-v2' : process.arch}`)
    print(`cuda:     ${chosen === 'cmake-js' ? describeCuda() : 'node-gyp builds the emulated device only'}`)
    print(`tool:     ${describe(chosen, found)}`)

    if (force || isUnusable(chosen, found)) fs.rmSync(buildFolder, { recursive: true, force: true })
    // CMake asks which objects there are only when it configures.
    if (readMarker()?.cuda !== describeCuda()) fs.rmSync(path.join(buildFolder, 'CMakeCache.txt'), { force: true })
    fs.rmSync(markerFile, { force: true })
    if (chosen === 'cmake-js') runCmakeJs(found)
    else runNodeGyp(found)
    if (!fs.existsSync(addonFile)) throw new BuildError(`${chosen} wrote no ${addonFile}.`, 'Run again with --force.')
    fs.writeFileSync(markerFile, JSON.stringify({ inputs, tool: chosen, toolchain: toolchain(found), cuda: describeCuda() }))
    return addonFile
  })
}

/** Whether build/ holds something that this tool cannot go on from. */
function isUnusable(tool, found) {
  const has = (name) => fs.existsSync(path.join(buildFolder, name))
  if (tool === 'cmake-js' && has('CMakeCache.txt') && !has('build.ninja') && !has('Makefile')) return true // failed early
  const built = readMarker()
  return has(tool === 'cmake-js' ? 'config.gypi' : 'CMakeCache.txt') || (built && built.toolchain !== toolchain(found))
}

/** Runs cmake-js on this checkout. `out` and `definitions` serve other builds of the same sources (sanitize.js). */
function runCmakeJs(found, { out = buildFolder, definitions = {} } = {}) {
  const args = [found.cmakeJs, 'build', '--directory', root, '--out', out, '--log-level', 'error']
  args.push('--parallel', String(os.availableParallelism()))
  const all = { NODE_EXECUTABLE: process.execPath, ...definitions }
  for (const [name, value] of Object.entries(all)) args.push(`--CD${name}=${value}`)
  runTool('cmake-js', args)
}

function runNodeGyp(found) {
  // `configure` each time: only it writes the Makefiles, which name every source.
  runTool('node-gyp', [found.nodeGyp, 'configure', ...gypOptions()])
  runTool('node-gyp', [found.nodeGyp, 'build', ...gypOptions(), '--jobs', String(os.availableParallelism())])
}

function gypOptions() {
  // Node's headers beside the running Node spare a download.
  const prefix = path.resolve(process.execPath, '..', '..')
  const local = fs.existsSync(path.join(prefix, 'include', 'node', 'common.gypi'))
  return ['--directory', root, '--loglevel', 'warn', ...(local ? ['--nodedir', prefix] : [])]
}

function runTool(name, args) {
  // The addon is built by node scripts that gyp and CMake start: they must find this Node first.
  const env = { ...process.env, PATH: `${path.dirname(process.execPath)}${path.delimiter}${process.env.PATH}` }
  const { status, error } = spawnSync(process.execPath, args, { cwd: root, env, stdio: 'inherit' })
  if (error) throw error
  if (status !== 0) {
    const other = name === 'cmake-js' ? 'node-gyp' : 'cmake-js'
    throw new BuildError(
      `${name} failed with exit code ${status}; its messages are above.`,
      `If they name a missing program or header: ${installCommand}. Or try --force, or --tool ${other}.`,
    )
  }
}

// ---- is it up to date? ----

/** Everything that decides what the addon will be: sources by content, compiler, oneDNN, processor family. */
function hashInputs(found) {
  const hash = crypto.createHash('sha256')
  hash.update(toolchain(found)).update(describeCuda())
  const files = folders.flatMap((folder) => walk(path.join(root, folder)))
  for (const name of ['CMakeLists.txt', 'binding.gyp', 'scripts/sources.js']) files.push(path.join(root, name))
  for (const file of files.sort()) {
    const content = fs.readFileSync(file)
    hash.update(`\n${path.relative(root, file)} ${content.length}\n`).update(content)
  }
  return hash.digest('hex')
}

function toolchain(found) {
  return [found.compilerName, found.compiler, found.dnnl, process.arch, napiVersion()].join(' ')
}

function napiVersion() {
  const file = resolve('node-addon-api/package.json')
  return file && JSON.parse(fs.readFileSync(file, 'utf8')).version
}

function isUpToDate(inputs, tool) {
  const built = readMarker()
  return built?.inputs === inputs && (!tool || tool === built.tool)
}

function readMarker() {
  if (!fs.existsSync(addonFile) || !fs.existsSync(markerFile)) return null
  try {
    return JSON.parse(fs.readFileSync(markerFile, 'utf8'))
  } catch {
    return null // written by a build that was started without this script: good to load, but of unknown inputs
  }
}

/** Two builds of one folder at a time would mix; the second waits, then most often finds nothing left to do. */
function withLock(print, work) {
  const lock = path.join(root, '.cache', 'build.lock')
  fs.mkdirSync(path.dirname(lock), { recursive: true })
  for (let waited = false; !takeLock(lock); waited = true) {
    const owner = lockOwner(lock)
    if (owner !== null && !isAlive(owner)) fs.rmSync(lock, { force: true })
    else if (!waited) print(`waiting for another build (process ${owner})`)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300) // sleeps
  }
  try {
    return work()
  } finally {
    fs.rmSync(lock, { force: true })
  }
}

/** A hard link appears with its content, so nobody ever reads a lock without its owner. */
function takeLock(lock) {
  const own = `${lock}.${process.pid}`
  fs.writeFileSync(own, String(process.pid))
  try {
    fs.linkSync(own, lock)
    return true
  } catch (error) {
    if (error.code === 'EEXIST') return false
    throw error
  } finally {
    fs.rmSync(own)
  }
}

/** The number of the process that holds the lock; null when it was released meanwhile. */
function lockOwner(lock) {
  try {
    return Number(fs.readFileSync(lock, 'utf8'))
  } catch {
    return null
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

if (require.main === module) {
  const { values } = require('node:util').parseArgs({ options: { tool: { type: 'string' }, force: { type: 'boolean' } } })
  try {
    if (values.tool && !['cmake-js', 'node-gyp'].includes(values.tool)) {
      throw new BuildError(`--tool ${values.tool} is unknown.`, 'Use cmake-js or node-gyp.')
    }
    console.log(path.relative(process.cwd(), build(values)))
  } catch (error) {
    console.error(error instanceof BuildError ? error.message : error)
    process.exitCode = 1
  }
}

module.exports = { build, runCmakeJs, addonFile, markerFile }
