/** Reads what the CUDA toolkit's tools say about compiled kernels. Kernels have the names that the linker knows. */
const { spawnSync } = require('node:child_process')

/** Instructions of tensor cores, ldmatrix, cp.async, and accesses to memory of a single thread. */
const counted = ['HMMA', 'LDSM', 'LDGSTS', 'LDL', 'STL']

/** `ptxas -v`: a line that names kernel and target, then one with spills, then one with registers. */
function readResources(text) {
  const entries = []
  for (const line of text.split('\n')) {
    const start = line.match(/Compiling entry function '(\S+)' for 'sm_(\d+)a?'/)
    if (start) entries.push({ name: start[1], target: start[2], registers: 0, shared: 0, spills: 0 })
    const entry = entries.at(-1)
    const spills = line.match(/(\d+) bytes spill stores, (\d+) bytes spill loads/)
    if (entry && spills) entry.spills = Number(spills[1]) + Number(spills[2])
    const used = line.match(/Used (\d+) registers/)
    if (entry && used) {
      entry.registers = Number(used[1])
      entry.shared = Number(line.match(/(\d+) bytes smem/)?.[1] ?? 0)
    }
  }
  return entries
}

/** PTX: the most threads that a block may have by `__launch_bounds__`; 1024 without. */
function readThreads(ptx) {
  const threads = new Map()
  for (const [, name, directives] of ptx.matchAll(/\.entry\s+([^\s(]+)\s*\([^)]*\)([^{]*)\{/g)) {
    const sizes = directives.match(/\.(?:maxntid|reqntid)\s+([\d, ]+)/)?.[1] ?? '1024'
    threads.set(name, sizes.split(',').reduce((product, size) => product * Number(size), 1))
  }
  return threads
}

/** PTX: the version of nvcc that made it, such as 13.0. */
function readCompiler(ptx) {
  return ptx.match(/Cuda compilation tools, release ([\d.]+)/)?.[1] ?? 'unknown'
}

/** `cuobjdump -sass`, line by line: how often each kernel has the instructions that are counted, for each target. */
class InstructionCounter {
  kernels = new Map() // name -> target -> { instruction: count }
  #target = ''
  #counts = {}

  add(line) {
    const instruction = line.match(/^\s+\/\*[0-9a-f]{4,}\*\/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9]*)/)
    if (instruction) {
      if (instruction[1] in this.#counts) this.#counts[instruction[1]]++
      return
    }
    const target = line.match(/^\s*arch = sm_(\d+)/)
    if (target) this.#target = target[1]
    const start = line.match(/^\s*Function : (\S+)/)
    if (!start) return
    this.#counts = Object.fromEntries(counted.map((name) => [name, 0]))
    if (!this.kernels.has(start[1])) this.kernels.set(start[1], new Map())
    this.kernels.get(start[1]).set(this.#target, this.#counts)
  }
}

/** matmul<Matrices<TileShape<bf16, 128, 128>, 0>>, from the names that the linker knows. */
function readableNames(names) {
  if (names.length === 0) return []
  const { status, stdout } = spawnSync('c++filt', { input: `${names.join('\n')}\n`, encoding: 'utf8' })
  if (status !== 0) throw new Error('c++filt, which comes with g++ (binutils), is needed to read the names of kernels')
  return stdout.trimEnd().split('\n').map(shortened)
}

function shortened(name) {
  const bare = withoutParameters(name.replace(/lorikeet::cuda::|\(anonymous namespace\)::|^void /g, ''))
  const withoutEnums = bare.replace(/\((?:\w|::)+\)(?=\d)/g, '')
  return withoutEnums.replaceAll('> >', '>>').replace(/_kernel(?=<|$)/, '')
}

/** Without the parameter list: the last group of parentheses. */
function withoutParameters(name) {
  let depth = 0
  for (let i = name.length - 1; name.endsWith(')') && i >= 0; i--) {
    if (name[i] === ')') depth++
    if (name[i] === '(' && --depth === 0) return name.slice(0, i)
  }
  return name
}

module.exports = { counted, readCompiler, readResources, readThreads, readableNames, InstructionCounter }
