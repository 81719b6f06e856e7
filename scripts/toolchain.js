/**
 * What this machine has for building the addon, and the words for what it lacks. Shared by build.js, setup.js and
 * sanitize.js. Plain JavaScript without dependencies.
 */
const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const { createRequire } = require('node:module')
const os = require('node:os')
const path = require('node:path')
const { root } = require('./sources')

/** The Debian/Ubuntu packages that a build needs. test/packaging checks that every message names these. */
const systemPackages = ['build-essential', 'cmake', 'libdnnl-dev']
const installCommand = `sudo apt install ${systemPackages.join(' ')}`

/** A build that cannot succeed or did not, with what to do about it. */
class BuildError extends Error {
  constructor(problem, fix) {
    super(`${problem}\n${fix}`)
    this.name = 'BuildError'
  }
}

/** Versions and paths of everything a build needs; null for what is missing. */
function detect() {
  const compilerName = process.env.CXX || 'g++'
  return {
    compilerName,
    compiler: output(compilerName, ['-dumpfullversion', '-dumpversion']),
    cmake: output('cmake', ['--version'])?.match(/[\d.]+/)?.[0] ?? null,
    make: output('make', ['--version']) !== null,
    ninja: output('ninja', ['--version']) !== null,
    dnnl: dnnlVersion(compilerName),
    cmakeJs: resolve('cmake-js/bin/cmake-js'),
    nodeGyp: resolve('node-gyp/bin/node-gyp.js') ?? npmNodeGyp(),
  }
}

function output(command, args, input) {
  try {
    return execFileSync(command, args, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'ignore'] }).trim()
  } catch {
    return null
  }
}

/** The version of oneDNN that the compiler finds by itself (CPATH counts, as in the build). */
function dnnlVersion(compilerName) {
  const macros = output(compilerName, ['-E', '-dM', '-x', 'c++', '-'], '#include <oneapi/dnnl/dnnl_version.h>\n')
  const number = (name) => macros?.match(new RegExp(`DNNL_VERSION_${name} (\\d+)`))?.[1]
  return number('MAJOR') ? [number('MAJOR'), number('MINOR'), number('PATCH')].join('.') : null
}

function resolve(request) {
  try {
    return createRequire(path.join(root, 'package.json')).resolve(request)
  } catch {
    return null
  }
}

/** npm brings its own node-gyp and says where to scripts that it runs. */
function npmNodeGyp() {
  const named = process.env.npm_config_node_gyp
  if (named && fs.existsSync(named)) return named
  const npm = path.resolve(process.execPath, '..', '..', 'lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js')
  return fs.existsSync(npm) ? npm : null
}

/** What is missing for a build with that tool, in words; empty when nothing is. */
function missing(found, tool) {
  const words = []
  if (!found.compiler) words.push(`a C++ compiler (${found.compilerName})`)
  else if (!found.dnnl) words.push('oneDNN (oneapi/dnnl/dnnl.hpp)')
  if (tool === 'cmake-js' && !found.cmake) words.push('cmake')
  if (!found.make && !(tool === 'cmake-js' && found.ninja)) words.push('make')
  return words
}

/** Throws BuildError unless that tool can build here. */
function check(found, tool) {
  const words = missing(found, tool)
  if (words.length > 0) throw new BuildError(`The build needs ${words.join(' and ')}.`, `Install with: ${installCommand}`)
  if (parseInt(found.compiler) < 11) {
    throw new BuildError(`g++ 11 or later is needed, found ${found.compiler}.`, 'Set CXX to a newer g++.')
  }
  const script = tool === 'cmake-js' ? found.cmakeJs : found.nodeGyp
  if (!script) throw new BuildError(`${tool} is not installed.`, `Install it beside this package: npm install ${tool}`)
}

function describe(tool, found) {
  const jobs = `${os.availableParallelism()} jobs`
  if (tool === 'cmake-js') return `cmake-js, CMake ${found.cmake}, ${found.ninja ? 'Ninja' : 'make'}, ${jobs}`
  return `node-gyp, make, ${jobs}${found.cmake ? '' : ' (no cmake in PATH)'}`
}

module.exports = { detect, missing, check, describe, resolve, BuildError, systemPackages, installCommand }
