/**
 * Compiles every kernel for every card that we serve and says what it takes of a multiprocessor:
 *
 *     node scripts/cuda/compile.js [--targets 86,89] [FILE.cu ...]
 *
 * One row for each kernel: registers a thread for each target, and static shared memory. Fails when a kernel keeps
 * registers in memory (spills) or does not compile. Without nvcc there is nothing to do, which is no failure.
 */
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { root, cudaSources } = require('../sources')
const { allTargets, flags, findNvcc } = require('./nvcc')


function main(args) {
  const wanted = args[0] === '--targets' ? args.splice(0, 2)[1].split(',') : allTargets
  const nvcc = findNvcc()
  if (!nvcc) {
    console.log('nvcc was not found (PATH, CUDA_PATH, /usr/local/cuda): no kernel was compiled.')
    return
  }
  const files = args.length > 0 ? args : cudaSources()
  const kernels = new Map() // name -> target -> figures
  for (const file of files) {
    for (const entry of compile(nvcc, file, wanted)) {
      if (!kernels.has(entry.kernel)) kernels.set(entry.kernel, new Map())
      kernels.get(entry.kernel).set(entry.target, entry)
    }
  }
  print(kernels, wanted)
  const spilling = [...kernels.values()].flatMap((row) => [...row.values()]).filter((entry) => entry.spills > 0)
  for (const entry of spilling) console.error(`${entry.kernel} spills ${entry.spills} bytes on sm_${entry.target}`)
  if (spilling.length > 0) process.exitCode = 1
  else console.log(`${kernels.size} kernels, ${wanted.length} targets, no spills`)
}

/** What ptxas says about each kernel of a file, for each target. */
function compile(nvcc, file, wanted) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lorikeet-cuda-'))
  try {
    const code = wanted.flatMap((target) => ['-gencode', `arch=compute_${target},code=sm_${target}`])
    const arguments_ = [...flags, '-Xptxas=-v', ...code, '-c', path.join(root, file), '-o', path.join(folder, 'kernel.o')]
    const result = spawnSync(nvcc, arguments_, { encoding: 'utf8', maxBuffer: 2 ** 26 })
    if (result.status !== 0) throw new Error(`${file} does not compile:\n${result.stderr || result.error}`)
    return parse(result.stderr, file)
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

/** Reads `ptxas -v`: a line that names kernel and target, then one with spills, then one with registers. */
function parse(text, file) {
  const entries = []
  for (const line of text.split('\n')) {
    const start = line.match(/Compiling entry function '(\S+)' for 'sm_(\d+)'/)
    if (start) {
      entries.push({ kernel: `${path.basename(file)} ${readable(start[1])}`, target: start[2], spills: 0 })
      continue
    }
    const entry = entries.at(-1)
    const spills = line.match(/(\d+) bytes spill stores, (\d+) bytes spill loads/)
    if (spills) entry.spills = Number(spills[1]) + Number(spills[2])
    const used = line.match(/Used (\d+) registers/)
    if (used) {
      entry.registers = Number(used[1])
      entry.shared = Number(line.match(/(\d+) bytes smem/)?.[1] ?? 0)
    }
  }
  return entries
}

/** matmul_kernel<TileShape<128, 128, 32, 64, 64, 3>, 0, true>, from the name that the linker knows. */
function readable(name) {
  const result = spawnSync('c++filt', [name], { encoding: 'utf8' })
  if (result.status !== 0) return name
  const text = result.stdout.trim().replace(/lorikeet::cuda::|\(anonymous namespace\)::|^void /g, '')
  return removeParameters(text).replace(/\((?:\w|::)+\)(?=\d)/g, '').replace(/_kernel(?=<|$)/, '')
}

/** Without the parameter list: the last group of parentheses. */
function removeParameters(text) {
  if (!text.endsWith(')')) return text
  let depth = 0
  for (let i = text.length - 1; i >= 0; i--) {
    if (text[i] === ')') depth++
    if (text[i] === '(' && --depth === 0) return text.slice(0, i)
  }
  return text
}

function print(kernels, wanted) {
  const names = [...kernels.keys()].sort()
  const width = Math.max(6, ...names.map((name) => name.length))
  const cells = (row) => wanted.map((target) => String(row(target)).padStart(7)).join('')
  console.log(`${'kernel, registers'.padEnd(width)}${cells((target) => `sm_${target}`)} shared`)
  for (const name of names) {
    const row = kernels.get(name)
    const shared = Math.max(...[...row.values()].map((entry) => entry.shared ?? 0))
    const registers = cells((target) => row.get(target)?.registers ?? '-')
    console.log(`${name.padEnd(width)}${registers}${String(shared).padStart(7)}`)
  }
}

if (require.main === module) {
  try {
    main(process.argv.slice(2))
  } catch (error) {
    console.error(error.message)
    process.exitCode = 1
  }
}

module.exports = { parse }
