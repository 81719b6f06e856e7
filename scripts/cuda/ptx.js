/**
 * The PTX check: runs the emulator's test programs, executes the PTX that nvcc makes of their kernels beside the
 * emulator, and compares what both leave in memory, launch by launch and bit by bit.
 *
 *     node scripts/cuda/ptx.js                      every program in test/cuda/{gemm,attention,kernels}
 *     node scripts/cuda/ptx.js kernels/geglu
 *
 * Needs nvcc, c++filt and nm; without nvcc there is nothing to check, which is no failure.
 */
const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { root } = require('../sources')
const { findNvcc, flags } = require('./nvcc')
const { buildProgram, modified, out, ownSources, upToDate, withLock } = require('./sim')

const folder = path.join(out, 'ptx')
const tool = 'test/cuda/ptx'
const functions = `${tool}/functions.cu`

function programs() {
  return ['gemm', 'attention', 'kernels'].flatMap((group) =>
    fs
      .readdirSync(path.join(root, 'test/cuda', group))
      .filter((file) => file.endsWith('.cc'))
      .map((file) => `${group}/${path.basename(file, '.cc')}`)
      .sort(),
  )
}

/**
 * `edit` changes the PTX of the program's kernels before it runs. Returns a report for each launch, and the kernels
 * that were not launched.
 */
function check(name, edit = (text) => text) {
  const program = buildProgram(name, checking)
  const scratch = fs.mkdtempSync(path.join(folder, 'run-'))
  try {
    const sources = ownSources(name).filter((file) => file.endsWith('.cu'))
    const modules = sources.map((source) => {
      const file = path.join(scratch, `${source.replaceAll('/', '_')}.ptx`)
      fs.writeFileSync(file, edit(fs.readFileSync(compile(source), 'utf8')))
      return file
    })
    const index = path.join(scratch, 'index')
    const report = path.join(scratch, 'report')
    const places = [...kernels(program, modules), ...mathematics(compile(functions))]
    fs.writeFileSync(index, `${places.join('\n')}\n`)
    fs.writeFileSync(report, '')
    const env = { ...process.env, LORIKEET_PTX: index, LORIKEET_PTX_REPORT: report }
    execFileSync(program, { env, stdio: ['ignore', 'ignore', 'inherit'] })
    const lines = fs.readFileSync(report, 'utf8').split('\n').filter(Boolean)
    const launches = lines.map((line) => JSON.parse(line))
    const used = new Set(launches.map((launch) => launch.entry))
    const unused = readable(modules.flatMap(entries).filter((entry) => !used.has(entry)))
    return { launches, unused }
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true })
  }
}

/** The interpreter alone, and with what stands between a test program's launches and the emulator. */
const interpreter = variant((file) => !/^(check|functions|library)\.cc$/.test(file))
const checking = variant(() => true)

/** Addresses of functions must be those in the file, and parameters must lie as on the card. */
function variant(wanted) {
  const sources = fs.readdirSync(path.join(root, tool)).filter((file) => file.endsWith('.cc') && wanted(file))
  return {
    folder: 'ptx',
    flags: ['-DLORIKEET_BARE_POINTERS', '-fno-pie'],
    sources: sources.map((file) => `${tool}/${file}`),
    link: ['-no-pie'],
  }
}

/** nvcc's PTX of a file, for the oldest card that we serve. */
function compile(file) {
  const ptx = path.join(folder, `${file}.ptx`)
  const listing = `${ptx}.d`
  return withLock(() => {
    if (upToDate(ptx, listing) && modified(__filename) <= modified(ptx)) return ptx
    fs.mkdirSync(path.dirname(ptx), { recursive: true })
    const arguments_ = ['-ptx', '-arch=compute_80', ...flags, '-MD', '-MF', listing, path.join(root, file)]
    execFileSync(findNvcc(), [...arguments_, '-o', `${ptx}.new`], { stdio: ['ignore', 'ignore', 'pipe'] })
    fs.renameSync(`${ptx}.new`, ptx)
    return ptx
  })
}

/**
 * A line for each kernel that both have, found by its readable name: the namespaces differ, and nvcc puts hashes into
 * the names of unnamed ones.
 */
function kernels(program, modules) {
  const symbols = execFileSync('nm', [program], { encoding: 'utf8', maxBuffer: 2 ** 28 })
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, kind]) => /^[tTwW]$/.test(kind ?? ''))
  const host = new Map()
  readable(symbols.map(([, , name]) => name)).forEach((name, i) => {
    const plain = name.replaceAll('lorikeet::cuda_sim::', 'lorikeet::cuda::')
    host.set(plain, host.has(plain) ? 'ambiguous' : symbols[i][0].replace(/^0+/, ''))
  })
  return modules.flatMap((file) => {
    const names = entries(file)
    return readable(names).flatMap((name, i) => (host.has(name) ? [`${host.get(name)} ${names[i]} ${file}`] : []))
  })
}

/** A line for each function of functions.h. */
function mathematics(file) {
  return entries(file).map((name) => `${name.replace(/_of$/, '')} ${name} ${file}`)
}

function entries(file) {
  return [...fs.readFileSync(file, 'utf8').matchAll(/\.entry\s+([^\s(]+)/g)].map((match) => match[1])
}

function readable(names) {
  if (names.length === 0) return []
  const output = execFileSync('c++filt', { input: names.join('\n') + '\n', encoding: 'utf8', maxBuffer: 2 ** 28 })
  return output.split('\n').slice(0, names.length)
}

/** One row for each instance of a kernel. */
function summary(launches) {
  const rows = new Map()
  for (const { kernel, entry, written = 0, different = 0, first, error } of launches) {
    const name = entry ?? kernel
    const row = rows.get(name) ?? { kernel, launches: 0, written: 0, different: 0 }
    row.launches++
    row.written += written
    row.different += different
    row.first ??= error ?? first
    rows.set(name, row)
  }
  return [...rows.values()]
}

if (require.main === module) {
  if (!findNvcc()) {
    console.log('nvcc was not found (PATH, CUDA_PATH, /usr/local/cuda): there is no PTX to check.')
  } else {
    const names = process.argv.length > 2 ? process.argv.slice(2) : programs()
    for (const name of names) {
      const { launches, unused } = check(name)
      for (const row of summary(launches)) {
        const verdict = row.first ? `DIFFERS: ${row.first}` : 'the same bits'
        console.log(`${name} ${row.kernel}: ${row.launches} launches, ${row.written} elements written, ${verdict}`)
        if (row.first) process.exitCode = 1
      }
      for (const kernel of unused) console.log(`${name}: does not launch ${kernel}`)
    }
  }
}

module.exports = { check, compile, findNvcc, functions, interpreter, programs, summary }
