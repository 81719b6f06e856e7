/**
 * Compiles every kernel for every card that we serve and compares what it takes of a multiprocessor, and what its
 * machine code contains, with cuda/registers.txt:
 *
 *     node scripts/cuda/compile.js [--targets 86,89] [FILE.cu ...]
 *     node scripts/cuda/compile.js --update [FILE.cu ...]                 writes the table instead
 *
 * Fails on any difference from the table, when a kernel keeps registers in memory (spills), when its machine code has
 * what it should not have or lacks what it should (instructions.js), and when it does not compile. Without nvcc there
 * is nothing to do, without cuobjdump nothing to disassemble; neither is a failure. Another version of nvcc than the
 * table's gives other figures, which are printed and are no failure.
 */
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { root, cudaSources } = require('../sources')
const { counted, readCompiler, readResources, readThreads, readableNames } = require('./figures')
const { countInstructions, faults, findDisassembler } = require('./instructions')
const { allTargets, argumentsFor, findNvcc, hasKernels } = require('./nvcc')
const { blocksPerMultiprocessor, compare, format, merge, parse } = require('./table')

const tableFile = path.join(root, 'cuda/registers.txt')

async function main(args) {
  const options = readArguments(args)
  const nvcc = findNvcc()
  if (!nvcc) return console.log('nvcc was not found (PATH, CUDA_PATH, /usr/local/cuda): no kernel was compiled.')
  const disassembler = findDisassembler(nvcc)
  if (!disassembler) {
    if (options.update) throw new Error('The table has counts of instructions: --update needs cuobjdump')
    console.log('cuobjdump was not found (CUOBJDUMP, PATH, CUDA_PATH, beside nvcc): nothing is disassembled.')
  }

  const started = Date.now()
  const { rows, bytes, compiler } = await compileAll({ nvcc, disassembler }, options)
  print(rows, options.targets)
  const seconds = ((Date.now() - started) / 1000).toFixed(0)
  const targets = options.targets.map((target) => `sm_${target}`).join(', ')
  console.log(`${rows.length} kernels for ${targets}: ${seconds} s, ${(bytes / 1e6).toFixed(1)} MB of objects`)

  const wrong = [...spills(rows, options.targets), ...faults(rows, options.targets)]
  for (const what of wrong) console.error(what)
  if (wrong.length > 0) process.exitCode = 1
  if (options.update) update(rows, options, compiler)
  else report(rows, options, compiler)
}

function readArguments(args) {
  const update = args.includes('--update')
  const rest = args.filter((arg) => arg !== '--update')
  const targets = rest[0] === '--targets' ? rest.splice(0, 2)[1].split(',') : allTargets
  const strange = targets.filter((target) => !allTargets.includes(target))
  if (strange.length > 0) throw new Error(`No target is called ${strange}: there are ${allTargets.join(', ')}`)
  if (update && targets !== allTargets) throw new Error('The table has a column for each target: --update needs all')
  const files = rest.map((file) => path.relative(root, path.resolve(file)).split(path.sep).join('/'))
  return { update, targets, files: files.length > 0 ? files : cudaSources() }
}

/** As many files at a time as there are cores. */
async function compileAll(tools, { files, targets }) {
  const waiting = [...files]
  const rows = []
  let bytes = 0
  let compiler = ''
  const worker = async () => {
    for (let file = waiting.shift(); file; file = waiting.shift()) {
      const started = Date.now()
      const found = await compile(tools, file, targets)
      console.log(`nvcc ${file} (${((Date.now() - started) / 1000).toFixed(1)} s)`)
      rows.push(...found.rows)
      bytes += found.bytes
      compiler = found.compiler ?? compiler
    }
  }
  await Promise.all(Array.from({ length: os.availableParallelism() }, worker))
  return { rows, bytes, compiler }
}

async function compile({ nvcc, disassembler }, file, targets) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lorikeet-cuda-'))
  try {
    const object = path.join(folder, 'kernels.o')
    const source = path.join(root, file)
    const arguments_ = [...argumentsFor(source, targets), '-Xptxas=-v', '--keep', '--keep-dir', folder]
    const said = await run(nvcc, [...arguments_, '-c', source, '-o', object], `${file} does not compile`)
    const bytes = fs.statSync(object).size
    if (!hasKernels(source)) return { rows: [], bytes }
    const ptxName = fs.readdirSync(folder).find((name) => name.endsWith('.ptx'))
    const ptx = fs.readFileSync(path.join(folder, ptxName), 'utf8')
    const threads = readThreads(ptx)
    const counts = disassembler ? await countInstructions(disassembler, object) : null
    const rows = makeRows(file, readResources(said), threads, counts)
    return { rows, bytes, compiler: readCompiler(ptx) }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

function run(command, arguments_, failure) {
  const child = spawn(command, arguments_, { stdio: ['ignore', 'ignore', 'pipe'] })
  let text = ''
  child.stderr.on('data', (part) => (text += part))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (status) => (status === 0 ? resolve(text) : reject(new Error(`${failure}:\n${text}`))))
  })
}

/** One row for each kernel, as table.js describes them, and `spills`, bytes for each target. */
function makeRows(file, resources, threads, counts) {
  const names = [...new Set(resources.map(({ name }) => name))]
  const kernels = readableNames(names)
  const twice = kernels.find((kernel, i) => kernels.indexOf(kernel) !== i)
  if (twice) throw new Error(`${file} has two kernels that read ${twice}: the table could not tell them apart`)
  return names.map((name, i) => {
    const entries = resources.filter((entry) => entry.name === name)
    const perTarget = (value) => Object.fromEntries(entries.map((entry) => [entry.target, value(entry)]))
    return {
      file,
      kernel: kernels[i],
      threads: threads.get(name),
      shared: Math.max(...entries.map(({ shared }) => shared)),
      registers: perTarget(({ registers }) => registers),
      spills: perTarget(({ spills }) => spills),
      instructions: counts && instructionsOf(counts.get(name)),
    }
  })
}

/** { target: { instruction: count } } the other way round. */
function instructionsOf(counts) {
  return Object.fromEntries(
    counted.map((name) => [name, Object.fromEntries([...counts].map(([target, of]) => [target, of[name]]))]),
  )
}

/** Registers a thread takes, and in brackets the blocks that a multiprocessor has room for. */
function print(rows, targets) {
  console.log(`${targets.map((target) => `sm_${target}`.padStart(9)).join('')}  kernel`)
  const place = ({ file, kernel }) => `${path.basename(file)} ${kernel}`
  for (const row of [...rows].sort((a, b) => (place(a) < place(b) ? -1 : 1))) {
    const cell = (target) => `${row.registers[target]} (${blocksPerMultiprocessor(target, row)})`.padStart(9)
    console.log(`${targets.map(cell).join('')}  ${place(row)}`)
  }
}

function spills(rows, targets) {
  return rows.flatMap(({ file, kernel, spills }) =>
    targets
      .filter((target) => spills[target] > 0)
      .map((target) => `${file} ${kernel}: spills ${spills[target]} bytes on sm_${target}`),
  )
}

function update(rows, { files }, compiler) {
  const stored = readTable()
  if (stored.compiler !== compiler && files.length < cudaSources().length) {
    throw new Error(`The table is of nvcc ${stored.compiler}, this is ${compiler}: --update needs all files`)
  }
  fs.writeFileSync(tableFile, format(merge(stored.rows, rows, files, cudaSources()), compiler))
  console.log('cuda/registers.txt was written')
}

/** Of no compiler and without rows when nothing was written yet. */
function readTable() {
  return parse(fs.existsSync(tableFile) ? fs.readFileSync(tableFile, 'utf8') : '')
}

function report(rows, { files, targets }, compiler) {
  const stored = readTable()
  const gone = stored.rows.map(({ file }) => file).filter((file) => !cudaSources().includes(file))
  const differences = compare(stored.rows, rows, [...files, ...gone], targets)
  for (const difference of differences) console.error(difference)
  if (differences.length === 0) return console.log('as in cuda/registers.txt')
  if (stored.compiler && stored.compiler !== compiler) {
    return console.log(`cuda/registers.txt is of nvcc ${stored.compiler}, this is ${compiler}`)
  }
  console.error('cuda/registers.txt says otherwise. If this is meant: scripts/cuda/compile.js --update [FILE.cu ...]')
  process.exitCode = 1
}

if (require.main === module) {
  main(process.argv.slice(2)).catch((error) => {
    console.error(error.message)
    process.exitCode = 1
  })
}

module.exports = { compile, readTable }
