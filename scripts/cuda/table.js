/**
 * cuda/registers.txt: what nvcc makes of each kernel, one line a kernel, figures first so that a long name moves
 * nothing. A row is
 *
 *     { file, kernel, threads, shared, registers: { target: count }, instructions: { HMMA: { target: count } } }
 *
 * `instructions` is null where nothing was disassembled.
 */
const { counted } = require('./figures')
const { allTargets } = require('./nvcc')

/** What a multiprocessor has room for (CUDA C++ Programming Guide, compute capabilities); shared memory in bytes. */
const multiprocessors = {
  80: { shared: 164 << 10, threads: 2048, blocks: 32 },
  86: { shared: 100 << 10, threads: 1536, blocks: 16 },
  89: { shared: 100 << 10, threads: 1536, blocks: 24 },
  90: { shared: 228 << 10, threads: 2048, blocks: 32 },
  120: { shared: 100 << 10, threads: 1536, blocks: 24 },
}
const registersOfMultiprocessor = 64 << 10

const preamble = `\
# What nvcc makes of each kernel: registers a thread takes on each target; threads a block may have and bytes of static
# shared memory; instructions: tensor cores (HMMA), ldmatrix (LDSM), cp.async (LDGSTS), local memory (LDL, STL). Counts
# that differ between targets are divided by strokes. Compared, and with --update written, by scripts/cuda/compile.js.
`

function format(rows, compiler) {
  const heading = line(allTargets, 'threads', 'shared', counted, 'kernel')
  const files = [...new Set(rows.map((row) => row.file))].sort()
  const parts = files.map((file) => {
    const lines = rows.filter((row) => row.file === file).map(formatRow)
    return `\n${file}\n${lines.sort((a, b) => (nameIn(a) < nameIn(b) ? -1 : 1)).join('\n')}\n`
  })
  return `${preamble}\nnvcc ${compiler}\n${heading}\n${parts.join('')}`
}

function formatRow({ kernel, threads, shared, registers, instructions }) {
  return line(
    allTargets.map((target) => registers[target]),
    threads,
    shared,
    counted.map((name) => brief(instructions[name])),
    kernel,
  )
}

function line(registers, threads, shared, instructions, kernel) {
  const wide = (cells, width) => cells.map((cell) => String(cell).padStart(width))
  return [...wide(registers, 3), ...wide([threads], 7), ...wide([shared, ...instructions], 6), kernel].join(' ')
}

function nameIn(text) {
  return text.trim().split(/ +/).slice(allTargets.length + 2 + counted.length).join(' ')
}

/** "64", or with the counts of all targets where they differ: "64/64/64/72/72". */
function brief(counts) {
  const values = allTargets.map((target) => counts[target])
  return new Set(values).size === 1 ? String(values[0]) : values.join('/')
}

function parse(text) {
  const rows = []
  let file = ''
  for (const each of text.split('\n').filter((each) => each && !each.startsWith('#'))) {
    if (/^cuda\/\S+$/.test(each)) file = each
    else if (file) rows.push({ file, ...parseRow(each) })
  }
  return { compiler: text.match(/^nvcc (\S+)$/m)?.[1] ?? '', rows }
}

function parseRow(text) {
  const cells = text.trim().split(/ +/)
  const perTarget = (values) =>
    Object.fromEntries(allTargets.map((target, i) => [target, Number(values[i] ?? values[0])]))
  const rest = cells.slice(allTargets.length)
  return {
    kernel: nameIn(text),
    threads: Number(rest[0]),
    shared: Number(rest[1]),
    registers: perTarget(cells),
    instructions: Object.fromEntries(counted.map((name, i) => [name, perTarget(rest[2 + i].split('/'))])),
  }
}

/** A sentence for each difference in these files and targets. */
function compare(stored, rows, files, targets) {
  const before = new Map(stored.filter(({ file }) => files.includes(file)).map((row) => [key(row), row]))
  const after = new Map(rows.map((row) => [key(row), row]))
  const gone = [...before.keys()].filter((name) => !after.has(name))
  const differences = gone.map((name) => `${name}: is no longer compiled`)
  for (const [name, row] of after) {
    const old = before.get(name)
    const found = old ? differ(old, row, targets) : ['is new']
    differences.push(...found.map((what) => `${name}: ${what}`))
  }
  return differences
}

function differ(old, row, targets) {
  const found = []
  const check = (what, was, is) => was !== is && found.push(`${what}: ${was} in the table, now ${is}`)
  check('threads', old.threads, row.threads)
  check('static shared memory', old.shared, row.shared)
  for (const target of targets) {
    check(`registers on sm_${target}`, old.registers[target], row.registers[target])
    for (const name of row.instructions ? counted : []) {
      check(`${name} on sm_${target}`, old.instructions[name][target], row.instructions[name][target])
    }
  }
  return found
}

/** The table with these files as they are now; files that are gone leave it. */
function merge(stored, rows, files, present) {
  return [...stored.filter(({ file }) => !files.includes(file) && present.includes(file)), ...rows]
}

function key({ file, kernel }) {
  return `${file} ${kernel}`
}

/**
 * How many blocks a multiprocessor can hold by registers, threads and static shared memory. Warps get registers in
 * portions of 256, blocks 1 KiB of shared memory more than they ask for. What a launcher adds dynamically is not known.
 */
function blocksPerMultiprocessor(target, { threads, shared, registers }) {
  const has = multiprocessors[target]
  const warps = Math.ceil(threads / 32)
  const ofWarp = Math.ceil((registers[target] * 32) / 256) * 256
  // Warps belong to one of four schedulers, each with a quarter of the registers.
  const byRegisters = Math.floor((Math.floor(registersOfMultiprocessor / 4 / ofWarp) * 4) / warps)
  const byShared = Math.floor(has.shared / (Math.ceil(shared / 128) * 128 + 1024))
  return Math.min(has.blocks, Math.floor(has.threads / (warps * 32)), byRegisters, byShared)
}

module.exports = { format, parse, compare, merge, blocksPerMultiprocessor }
