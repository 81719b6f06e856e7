/**
 * What the addon is made of: the one list of native sources, macros, compiler and linker flags. Both builds read it
 * (CMakeLists.txt and binding.gyp run `node scripts/sources.js <list>`, one entry a line), so they cannot differ.
 * Plain JavaScript without dependencies: it also runs where nothing is installed yet.
 */
const fs = require('node:fs')
const path = require('node:path')

const root = path.join(__dirname, '..')

/** Folders searched for sources; everything below them that ends in .cc belongs to the addon. */
const folders = ['native', 'cuda']

/**
 * CUDA sources, which the host compiler makes the emulated device of (docs/cuda.md). Neither build tool lets it see a
 * file named .cu, so each gets a file that includes it.
 */
const wrappers = 'build/emulated'

/**
 * Kernels for one instruction set, by suffix, and only in builds for x86-64. They are compiled with the same flags as
 * everything else and choose their instructions by `#pragma GCC target` after their includes: with -mavx512f for a
 * whole file, g++ would also emit inline functions of the standard library in AVX-512 encoding, the linker could pick
 * that copy for the whole addon, and it would die on an older processor.
 */
const x64Only = /\.(avx2|avx512|avx512bf16|amx)\.cc$/

function sources(arch = process.arch) {
  return folders
    .flatMap((folder) => walk(path.join(root, folder)))
    .filter((file) => file.endsWith('.cc') && (arch === 'x64' || !x64Only.test(file)))
    .map((file) => path.relative(root, file).split(path.sep).join('/'))
    .sort()
}

function cudaSources() {
  return walk(path.join(root, 'cuda'))
    .filter((file) => file.endsWith('.cu'))
    .map((file) => path.relative(root, file).split(path.sep).join('/'))
    .sort()
}

/** Writes those that are missing or differ, and removes those whose source is gone. */
function emulatedSources() {
  const wanted = new Map(
    cudaSources().map((file) => [
      `${wrappers}/${file.slice('cuda/'.length).replaceAll('/', '_')}.cc`,
      `#include "${path.posix.relative(wrappers, file)}"\n`,
    ]),
  )
  for (const file of walk(path.join(root, wrappers))) {
    if (!wanted.has(path.relative(root, file).split(path.sep).join('/'))) fs.rmSync(file)
  }
  for (const [file, text] of wanted) {
    const full = path.join(root, file)
    if (fs.existsSync(full) && fs.readFileSync(full, 'utf8') === text) continue
    fs.mkdirSync(path.dirname(full), { recursive: true })
    fs.writeFileSync(full, text)
  }
  return [...wanted.keys()]
}

function walk(folder) {
  if (!fs.existsSync(folder)) return []
  return fs.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const full = path.join(folder, entry.name)
    return entry.isDirectory() ? walk(full) : [full]
  })
}

const defines = [
  'NAPI_VERSION=8',
  'NODE_ADDON_API_DISABLE_DEPRECATED',
  'NODE_ADDON_API_CPP_EXCEPTIONS_ALL', // any std::exception that leaves an exported function becomes a JavaScript error
  'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS', // an error raised while the environment shuts down must not abort
  'NDEBUG',
]

// Rounding is part of the contract (parity, resume to the bit), so nothing here allows reassociation.
const cflags = [
  '-std=c++17',
  '-O3',
  // The emulated kernels must round where their source says. This level of x86-64 has no fused multiply-add.
  ...(process.arch === 'x64' ? ['-march=x86-64-v2'] : ['-ffp-contract=off']),
  '-fno-math-errno',
  '-fno-trapping-math',
  '-fopenmp',
  '-fPIC',
  '-fvisibility=hidden',
  '-fvisibility-inlines-hidden',
  '-Wall',
  '-Wextra',
]

const ldflags = ['-fopenmp', '-Wl,--exclude-libs,ALL', '-Wl,-z,relro,-z,now']

const libraries = ['-ldnnl']

const lists = {
  sources: () => [...sources(), ...emulatedSources()],
  defines: () => defines,
  cflags: () => cflags,
  ldflags: () => ldflags,
  libraries: () => libraries,
}

if (require.main === module) {
  const list = lists[process.argv[2]]
  if (!list) {
    console.error(`usage: node scripts/sources.js ${Object.keys(lists).join('|')}`)
    process.exit(2)
  }
  console.log(list().join('\n'))
}

module.exports = { root, folders, sources, cudaSources, emulatedSources, walk, defines, cflags, ldflags, libraries }
