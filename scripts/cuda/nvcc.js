/** The CUDA compiler: where it is, and what the kernels are compiled for. Plain JavaScript without dependencies. */
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

/** Compute capabilities: A100; RTX 30; RTX 40; H100; RTX 50. */
const allTargets = ['80', '86', '89', '90', '120']

// No contraction of a * b + c: a kernel rounds where its source says, and where the emulator does.
const flags = ['-std=c++17', '-O3', '-fmad=false', '-DLORIKEET_CARD']

/** Path of nvcc; null where there is none, or when LORIKEET_CUDA=off says that nobody wants it. */
function findNvcc() {
  if (process.env.LORIKEET_CUDA === 'off') return null
  const folders = [...(process.env.PATH ?? '').split(path.delimiter), path.join(process.env.CUDA_PATH ?? '', 'bin')]
  const found = [...folders, '/usr/local/cuda/bin'].map((folder) => path.join(folder, 'nvcc'))
  return found.find((file) => path.isAbsolute(file) && fs.existsSync(file)) ?? null
}

/** "13.0", or null when it does not run. */
function nvccVersion(nvcc) {
  return spawnSync(nvcc, ['--version'], { encoding: 'utf8' }).stdout?.match(/release ([\d.]+)/)?.[1] ?? null
}

/**
 * What to compile for: LORIKEET_CUDA=86,89 or =all says so, otherwise the cards of this machine. Without a card, the
 * oldest that we serve: drivers make code for all later ones from its PTX, at the price of some seconds when they first
 * load it. Throws for what no kernel runs on.
 */
function chosenTargets() {
  const wanted = process.env.LORIKEET_CUDA || 'auto'
  if (wanted === 'all') return allTargets
  if (wanted !== 'auto') return wanted.split(',').map(checkedTarget)
  const cards = cardsHere()
  return cards.length > 0 ? cards : allTargets.slice(0, 1)
}

function checkedTarget(target) {
  if (/^\d{2,3}$/.test(target) && Number(target) >= 80) return target
  throw new Error(
    `LORIKEET_CUDA is "${process.env.LORIKEET_CUDA}": expected off, auto, all, or compute capabilities from 80 up ` +
      'such as 86,89',
  )
}

/** Compute capabilities of the cards of this machine that we serve, as their driver's tool names them. */
function cardsHere() {
  const query = ['--query-gpu=compute_cap', '--format=csv,noheader']
  const { stdout } = spawnSync('nvidia-smi', query, { encoding: 'utf8' })
  const found = (stdout ?? '').split('\n').map((line) => line.trim().replace('.', ''))
  return [...new Set(found.filter((target) => /^\d{2,3}$/.test(target) && Number(target) >= 80))]
}

/** Machine code for each target, and PTX of the newest one, from which drivers make code for later cards. */
function codeArguments(targets) {
  const newest = targets.reduce((a, b) => (Number(a) > Number(b) ? a : b))
  const code = targets.map((target) => [target, `sm_${target}`]).concat([[newest, `compute_${newest}`]])
  return code.flatMap(([target, kind]) => ['-gencode', `arch=compute_${target},code=${kind}`])
}

/** Whether a source, or something that it includes by a path, has kernels. */
function hasKernels(file, seen = new Set()) {
  if (seen.has(file) || !fs.existsSync(file)) return false
  seen.add(file)
  const text = fs.readFileSync(file, 'utf8')
  if (/^(?!#|\s*\/\/).*__global__/m.test(text)) return true
  const included = [...text.matchAll(/^#include "(.*)"/gm)].map(([, name]) => path.resolve(path.dirname(file), name))
  return included.some((other) => hasKernels(other, seen))
}

/** How to compile a source. Without kernels it is one for the host compiler, and takes a fifth of the time. */
function argumentsFor(file, targets) {
  return [...flags, '-DNDEBUG', ...(hasKernels(file) ? codeArguments(targets) : ['-x', 'c++'])]
}

/** One line: what a build will do about CUDA. */
function describeCuda() {
  const nvcc = findNvcc()
  if (!nvcc) return process.env.LORIKEET_CUDA === 'off' ? 'off' : 'no nvcc, so no CUDA device'
  return `nvcc ${nvccVersion(nvcc)} for compute capability ${chosenTargets().join(', ')}`
}

/** Folder of libcudart_static.a, which makes the addon need no CUDA installation. */
function libraryFolder(nvcc) {
  const plan = spawnSync(nvcc, ['--dryrun', '-x', 'cu', '/dev/null'], { encoding: 'utf8' }).stderr ?? ''
  const top = plan.match(/#\$ TOP=(.*)/)?.[1] ?? path.join(path.dirname(nvcc), '..')
  const folders = ['targets/x86_64-linux/lib', 'targets/sbsa-linux/lib', 'lib64', 'lib'].map((name) => path.join(top, name))
  const found = folders.find((folder) => fs.existsSync(path.join(folder, 'libcudart_static.a')))
  if (found) return fs.realpathSync(found)
  throw new Error(`libcudart_static.a was not found below ${top}: install the CUDA toolkit's runtime library`)
}

module.exports = { allTargets, flags, findNvcc, chosenTargets, codeArguments, hasKernels, argumentsFor, libraryFolder, describeCuda }
