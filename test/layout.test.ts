/** The shape of the tree, as docs/contributing.md describes it: which folder may know which, and how long files get. */
import test from 'ava'
import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { packageRoot } from '../lib/native-loader'

const root = packageRoot()

/** From top to bottom: a part of lib/ imports only from parts in rows below its own, and from itself. */
const layers: string[][] = [
  ['index'],
  ['cli'],
  ['train'],
  ['generate', 'tools'],
  ['recipe'],
  ['dataset'],
  ['pipeline'],
  ['diffusion'],
  ['models'],
  ['adapters', 'optimizers'],
  ['text'],
  ['formats'],
  ['native'], // above the graph: it takes programs, while the graph must work where there is no addon
  ['native-loader'],
  ['graph'],
  ['base'],
]
const rank = new Map(layers.flatMap((row, index) => row.map((part) => [part, index] as const)))

/** The C++ parts, likewise; addon.cc stands on top of them all. */
const nativeLayers: string[][] = [['addon.cc'], ['binding'], ['cpu'], ['core']]
const nativeRank = new Map(nativeLayers.flatMap((row, index) => row.map((part) => [part, index] as const)))

/** The CUDA parts: kernels on the words of cuda/ itself, those on the emulator, which knows none of them, and on the core. */
const cudaLayers: string[][] = [['kernels', 'gemm', 'attention'], [''], ['sim'], ['native/core']]

/** Lines a file may have. A longer one stands here with the reason why it is not two files. */
const longest = 450
const longerForAReason: Record<string, string> = {}

/** Files below a folder, relative to the root; fixtures and data are not code. */
function code(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|js|cc|h|cu|cuh)$/.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((file) => !file.startsWith('test/fixtures/'))
}

/** What a file imports from this project: static, dynamic, type-only imports, re-exports and require. */
function imports(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  const found = text.matchAll(/(?:\bfrom|\bimport|\bimport\s*\(|\brequire\s*\()\s*['"](\.[^'"]*)['"]/g)
  return [...found].map(([, specifier]) => relative(root, resolve(root, dirname(file), specifier)))
}

/** lib/graph/ops/add.ts -> graph; lib/native.ts -> native. */
function part(file: string): string {
  return file.split('/')[1].replace(/\.ts$/, '')
}

const library = code('lib')

test('every part of lib has its row', (t) => {
  t.deepEqual([...new Set(library.map(part))].filter((name) => !rank.has(name)), [])
})

test('a part of lib imports only from itself and from rows below', (t) => {
  const wrong = library.flatMap((file) =>
    imports(file)
      .filter((target) => part(target) !== part(file) && !(rank.get(part(target))! > rank.get(part(file))!))
      .map((target) => `${file} imports ${target}`),
  )
  t.deepEqual(wrong, [])
})

test('lib imports nothing from outside lib except the package description', (t) => {
  const wrong = library.flatMap((file) =>
    imports(file)
      .filter((target) => !target.startsWith('lib/') && target !== 'package.json')
      .map((target) => `${file} imports ${target}`),
  )
  t.deepEqual(wrong, [])
})

test('no chain of value imports leads back to where it began', (t) => {
  const edges = new Map(library.map((file) => [file, valueImports(file)]))
  const cycles: string[] = []
  const state = new Map<string, 'open' | 'done'>()
  const visit = (file: string, trail: string[]): void => {
    if (state.get(file) === 'done') return
    if (state.get(file) === 'open') {
      cycles.push([...trail.slice(trail.indexOf(file)), file].join(' -> '))
      return
    }
    state.set(file, 'open')
    for (const target of edges.get(file) ?? []) visit(target, [...trail, file])
    state.set(file, 'done')
  }
  for (const file of library) visit(file, [])
  t.deepEqual(cycles, [])
})

/** The library files that loading this one loads: type-only imports vanish when compiled. */
function valueImports(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8').replace(/\b(import|export)\s+type\b[^'"]*['"][^'"]*['"]/g, '')
  const found = text.matchAll(/(?:\bfrom|\bimport)\s*['"](\.[^'"]*)['"]/g)
  return [...found].flatMap(([, specifier]) => {
    const target = relative(root, resolve(root, dirname(file), specifier))
    return [`${target}.ts`, join(target, 'index.ts')].filter((name) => library.includes(name))
  })
}

test('native code includes only from parts below its own', (t) => {
  const wrong = code('native').flatMap((file) => {
    const own = file.split('/')[1]
    const text = readFileSync(join(root, file), 'utf8')
    return [...text.matchAll(/#include "([^"]+)"/g)]
      .map(([, name]) => includedPart(file, name))
      .filter((target) => target !== own && !(nativeRank.get(target)! > nativeRank.get(own)!))
      .map((target) => `${file} includes from ${target}`)
  })
  t.deepEqual(wrong, [])
})

test('cuda code includes only from parts below its own, and of the emulator no part the core', (t) => {
  const rank = (file: string) => cudaLayers.findIndex((row) => row.includes(cudaPart(file)))
  const wrong = code('cuda').flatMap((file) => {
    const text = readFileSync(join(root, file), 'utf8')
    return [...text.matchAll(/#include "([^"]+)"/g)]
      .map(([, name]) => relative(root, join(root, dirname(file), name)))
      .filter((target) => !(cudaPart(target) === cudaPart(file) || (rank(target) > rank(file) && cudaPart(file) !== 'sim')))
      .map((target) => `${file} includes ${target}`)
  })
  t.deepEqual(code('cuda').filter((file) => rank(file) < 0), [])
  t.deepEqual(wrong, [])
})

/** cuda/gemm/tile.cuh -> gemm; cuda/ptx.cuh -> ''; native/core/ops/geglu.h -> native/core */
function cudaPart(file: string): string {
  const [top, ...rest] = file.split('/').slice(0, -1)
  return top === 'cuda' ? rest.join('/') : [top, ...rest].slice(0, 2).join('/')
}

/** "core/tensor.h" is looked up beside the file, then in native/. */
function includedPart(file: string, name: string): string {
  const folders = [join(root, dirname(file)), join(root, 'native')]
  const found = folders.map((folder) => join(folder, name)).find((path) => nativeFiles.has(relative(root, path)))
  return found ? relative(root, found).split('/')[1] : `nowhere (${name})`
}
const nativeFiles = new Set(code('native'))

test('only the surface of the addon knows Node', (t) => {
  const wrong = code('native').filter(
    (file) =>
      !/^native\/(addon\.cc|binding\/)/.test(file) &&
      /#include <(napi|node_api|js_native_api)/.test(readFileSync(join(root, file), 'utf8')),
  )
  t.deepEqual(wrong, [])
})

test(`no file is longer than ${longest} lines, unless listed with a reason`, (t) => {
  const files = ['lib', 'native', 'cuda', 'scripts', 'test'].flatMap(code)
  const lengths = files.map((file) => [file, readFileSync(join(root, file), 'utf8').split('\n').length - 1] as const)
  const long = lengths.filter(([, lines]) => lines > longest)
  t.deepEqual(long.map(([file]) => file).sort(), Object.keys(longerForAReason).sort())
})
