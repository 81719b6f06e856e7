/**
 * The PTX check: runs the emulator's test programs, executes the PTX that nvcc makes of their kernels beside the
 * emulator, and compares what both leave in memory, launch by launch and bit by bit.
 *
 *     node scripts/cuda/ptx.js                      every program in test/cuda/ and its {gemm,attention,kernels}
 *     node scripts/cuda/ptx.js kernels/geglu
 *     node scripts/cuda/ptx.js test/native/*.test.ts      tests of the ops, on the emulated device, with the addon that
 *                                                         was built last
 *
 * Needs nvcc, c++filt and nm; without nvcc there is nothing to check, which is no failure.
 */
const { execFileSync, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { cflags, cudaSources, defines, ldflags, libraries, root, walk } = require('../sources')
const { findNvcc, flags, hasKernels } = require('./nvcc')
const { buildProgram, compile: compileHost, link, modified, out, ownSources, upToDate, withLock } = require('./sim')

const folder = path.join(out, 'ptx')
const tool = 'test/cuda/ptx'
const functions = `${tool}/functions.cu`

/** The test programs, but for those of a source without kernels. */
function programs() {
  return ['', 'gemm', 'attention', 'kernels'].flatMap((group) =>
    fs
      .readdirSync(path.join(root, 'test/cuda', group))
      .filter((file) => file.endsWith('.cc'))
      .map((file) => path.posix.join(group, path.basename(file, '.cc')))
      .filter((name) => ownSources(name).every((file) => !file.endsWith('.cu') || hasKernels(path.join(root, file))))
      .sort(),
  )
}

/** `edit` changes the PTX of the program's kernels before it runs. */
function check(name, edit = (text) => text) {
  const program = buildProgram(name, checking)
  const sources = ownSources(name).filter((file) => file.endsWith('.cu'))
  return compare(program, sources, edit, (env) => {
    execFileSync(program, { env, stdio: ['ignore', 'ignore', 'inherit'] })
  })
}

/** The tests of the ops, on the emulated device. Whether they pass is not looked at. */
function checkOps(tests) {
  const addon = buildAddon()
  return compare(addon, cudaSources(), (text) => text, (env) => {
    // In strict mode the engine says which buffers a kernel may touch.
    const device = { LORIKEET_NATIVE: addon, LORIKEET_TEST_DEVICE: 'cuda-sim', LORIKEET_CUDA_SIM: 'strict' }
    const stdio = ['ignore', 'ignore', 'inherit']
    spawnSync('npx', ['ava', ...tests], { cwd: root, env: { ...env, ...device }, stdio })
  })
}

/** Returns a report for each launch, and the kernels that were not launched. */
function compare(binary, sources, edit, start) {
  fs.mkdirSync(folder, { recursive: true })
  const scratch = fs.mkdtempSync(path.join(folder, 'run-'))
  try {
    const modules = sources.map((source) => {
      const file = path.join(scratch, `${source.replaceAll('/', '_')}.ptx`)
      fs.writeFileSync(file, edit(fs.readFileSync(compile(source), 'utf8')))
      return file
    })
    const index = path.join(scratch, 'index')
    const report = path.join(scratch, 'report')
    const places = [...kernels(binary, modules), ...mathematics(compile(functions))]
    fs.writeFileSync(index, `${places.join('\n')}\n`)
    fs.writeFileSync(report, '')
    start({ ...process.env, LORIKEET_PTX: index, LORIKEET_PTX_REPORT: report })
    const lines = fs.readFileSync(report, 'utf8').split('\n').filter(Boolean)
    const launches = lines.map((line) => JSON.parse(line))
    const used = new Set(launches.map((launch) => launch.entry))
    const unused = readable(modules.flatMap(entries).filter((entry) => !used.has(entry)))
    return { launches, unused }
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true })
  }
}

/** Parameters must lie as on the card. */
const bare = '-DLORIKEET_BARE_POINTERS'

/** The interpreter alone, and with what stands between a test program's launches and the emulator. */
const interpreter = { folder: 'ptx', flags: [bare], sources: tools(/^(?!check|functions|library).*\.cc$/) }
const checking = { folder: 'ptx', flags: [bare], sources: tools(/\.cc$/) }

function tools(wanted) {
  return fs.readdirSync(path.join(root, tool)).filter((file) => wanted.test(file)).map((file) => `${tool}/${file}`)
}

/** The addon with the check in its emulated device; everything that knows nothing of CUDA comes from build/. */
function buildAddon() {
  const built = path.join(root, 'build/CMakeFiles/lorikeet.dir')
  const parts = ['native', 'cuda/sim'].flatMap((part) => walk(path.join(built, part)))
  const rest = parts.filter((file) => file.endsWith('.o'))
  if (rest.length === 0) throw new Error('The addon must have been built: npm run build:native')
  const flags = [...cflags.filter((flag) => !flag.startsWith('-O')), ...defines.map((name) => `-D${name}`), bare]
  const variant = { folder: 'ptx-addon', flags: [...flags, `-I${path.join(root, 'native')}`] }
  const addon = path.join(out, 'ptx-addon', 'lorikeet.node')
  const sources = [...cudaSources(), ...checking.sources]
  const objects = sources.map((file) => compileHost(file, variant))
  // Without the last flag, kernels would call the functions of the C library that node has loaded, not functions.cc.
  const arguments_ = ['-shared', ...ldflags, ...libraries, '-Wl,-Bsymbolic-functions']
  link([...objects, ...rest], arguments_, addon)
  return addon
}

/** nvcc's PTX of a file, for the oldest card that we serve. */
function compile(file) {
  const ptx = path.join(folder, `${file}.ptx`)
  const listing = `${ptx}.d`
  return withLock(ptx, () => {
    if (upToDate(ptx, listing) && modified(__filename) <= modified(ptx)) return ptx
    const arguments_ = ['-ptx', '-arch=compute_80', ...flags, '-MD', '-MF', listing, path.join(root, file)]
    execFileSync(findNvcc(), [...arguments_, '-o', `${ptx}.new`], { stdio: ['ignore', 'ignore', 'pipe'] })
    fs.renameSync(`${ptx}.new`, ptx)
    return ptx
  })
}

/**
 * A line for each kernel that both have, found by its readable name: the namespaces differ, and nvcc puts hashes into
 * the names of unnamed ones. Several files have kernels of one name when they include one header, which are the same.
 */
function kernels(program, modules) {
  const symbols = execFileSync('nm', [program], { encoding: 'utf8', maxBuffer: 2 ** 28 })
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, kind]) => /^[tTwW]$/.test(kind ?? ''))
  const host = new Map()
  readable(symbols.map(([, , name]) => name)).forEach((name, i) => {
    const plain = name.replaceAll('lorikeet::cuda_sim::', 'lorikeet::cuda::')
    host.set(plain, [...(host.get(plain) ?? []), symbols[i][0].replace(/^0+/, '')])
  })
  return modules.flatMap((file) => {
    const names = entries(file)
    const line = (address, i) => `${address} ${names[i]} ${file}`
    return readable(names).flatMap((name, i) => (host.get(name) ?? []).map((address) => line(address, i)))
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

function print(title, { launches, unused }) {
  for (const row of summary(launches)) {
    const verdict = row.first ? `DIFFERS: ${row.first}` : 'the same bits'
    console.log(`${title} ${row.kernel}: ${row.launches} launches, ${row.written} elements written, ${verdict}`)
    if (row.first) process.exitCode = 1
  }
  for (const kernel of unused) console.log(`${title}: does not launch ${kernel}`)
}

if (require.main === module) {
  if (!findNvcc()) {
    console.log('nvcc was not found (PATH, CUDA_PATH, /usr/local/cuda): there is no PTX to check.')
  } else {
    const names = process.argv.slice(2)
    const tests = names.filter((name) => name.endsWith('.test.ts'))
    if (tests.length > 0) print('ops', checkOps(tests))
    for (const name of names.length > 0 ? names : programs()) if (!tests.includes(name)) print(name, check(name))
  }
}

module.exports = { check, compile, findNvcc, functions, interpreter, programs, summary }
