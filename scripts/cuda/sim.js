/**
 * Builds test programs around the SIMT emulator with the host compiler alone: no Node headers, no CUDA toolkit.
 *
 *     node scripts/cuda/sim.js gemm/matmul
 *
 * builds test/cuda/gemm/matmul.cc with the emulator and, if there is one, cuda/gemm/matmul.cu, and says where the program
 * is.
 *
 * Objects are kept in build-sim/ and compiled again when a file that they include is newer. Processes that want the same
 * file at the same time wait for each other.
 */
const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { root } = require('../sources')

const out = path.join(root, 'build-sim')
const compiler = process.env.CXX || 'g++'

// Kernels are compiled as they will be for the addon's emulated device, but with little optimisation: the tests spend
// more time here than running. The emulator itself does the arithmetic of the tensor cores, and PTX is interpreted.
const flags = ['-std=c++17', '-Wall', '-Wextra', '-ffp-contract=off', `-I${root}`]
const optimisation = (file) => (/^(cuda\/sim|test\/cuda\/ptx)\//.test(file) ? '-O3' : '-O1')

/**
 * A variant is another program of the same sources: with a folder and flags of its own for all but the emulator, and
 * with more sources.
 */
const plain = { folder: '', flags: [], sources: [] }

function buildProgram(name, variant = plain) {
  const own = ownSources(name)
  const emulator = fs.readdirSync(path.join(root, 'cuda/sim')).filter((file) => file.endsWith('.cc'))
  const program = path.join(out, variant.folder, 'bin', name)
  const objects = [
    ...[...own, ...variant.sources].map((file) => compile(file, variant)),
    ...emulator.map((file) => compile(`cuda/sim/${file}`, plain)),
  ]
  link(objects, [], program)
  return program
}

function link(objects, arguments_, target) {
  withLock(target, () => {
    if (objects.every((object) => modified(object) <= modified(target))) return
    run(compiler, [...objects, ...arguments_, '-o', target])
  })
}

function ownSources(name) {
  return [`test/cuda/${name}.cc`, `cuda/${name}.cu`].filter((file) => fs.existsSync(path.join(root, file)))
}

function compile(file, variant) {
  const object = path.join(out, variant.folder, 'obj', `${file}.o`)
  const listing = `${object}.d`
  withLock(object, () => {
    if (upToDate(object, listing)) return
    const choice = [...flags, ...variant.flags, optimisation(file)]
    const arguments_ = [...choice, '-MMD', '-MF', listing, '-x', 'c++', '-c', path.join(root, file)]
    run(compiler, [...arguments_, '-o', `${object}.new`])
    fs.renameSync(`${object}.new`, object)
  })
  return object
}

/** Whether the object is newer than this script and everything that the compiler listed as read. */
function upToDate(object, listing) {
  if (!fs.existsSync(object) || !fs.existsSync(listing)) return false
  const read = fs.readFileSync(listing, 'utf8').replace(/\\\n/g, ' ').replace(/^[^:]*:/, '').trim().split(/\s+/)
  return [__filename, ...read].every((file) => modified(file) <= modified(object) && modified(file) > 0)
}

function modified(file) {
  return fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0
}

function run(command, arguments_) {
  try {
    execFileSync(command, arguments_, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  } catch (error) {
    throw new Error(`${command} failed:\n${error.stderr || error.message}`)
  }
}

/**
 * One process at a time makes `target`. A folder is its lock: making it succeeds for one process only. One that is older
 * than any file takes was left behind by a killed process and is taken over.
 */
function withLock(target, action) {
  const lock = `${target}.lock`
  fs.mkdirSync(path.dirname(target), { recursive: true })
  for (;;) {
    try {
      fs.mkdirSync(lock)
      break
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
      const age = modified(lock) > 0 ? Date.now() - modified(lock) : 0
      if (age > 15 * 60_000) fs.rmSync(lock, { recursive: true, force: true })
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)
    }
  }
  try {
    return action()
  } finally {
    fs.rmSync(lock, { recursive: true, force: true })
  }
}

if (require.main === module) {
  try {
    for (const name of process.argv.slice(2)) console.log(buildProgram(name))
  } catch (error) {
    console.error(error.message)
    process.exitCode = 1
  }
}

module.exports = { buildProgram, compile, link, modified, out, ownSources, upToDate, withLock }
