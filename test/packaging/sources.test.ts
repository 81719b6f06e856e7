/** The lists that both builds and all messages share say the same everywhere. */
import test from 'ava'
import { execFileSync } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { formatVersion } from '../../lib/graph/program'
import { packageRoot, systemPackages } from '../../lib/native-loader'

const root = packageRoot()
const sources: { sources(arch?: string): string[]; emulatedSources(): string[] } = require('../../scripts/sources')
const toolchain: { systemPackages: string[]; missing(found: object, tool: string): string[] } =
  require('../../scripts/toolchain')
const read = (file: string) => readFileSync(join(root, file), 'utf8')

const filesOf = (folder: string, ending: string) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith(ending))
    .map((file) => `${folder}/${file}`)
const nativeSources = ['native', 'cuda'].flatMap((folder) => filesOf(folder, '.cc'))

test('every native source is listed exactly once', (t) => {
  t.deepEqual(sources.sources('x64').slice().sort(), nativeSources.slice().sort())
  t.true(nativeSources.includes('native/addon.cc'))
})

test('kernels for x86-64 instruction sets are left out elsewhere, and choose their instructions after the includes', (t) => {
  const special = nativeSources.filter((file) => /\.(avx2|avx512|avx512bf16|amx)\.cc$/.test(file))
  t.deepEqual(sources.sources('arm64'), sources.sources('x64').filter((file) => !special.includes(file)))
  for (const file of special) {
    const lines = read(file).split('\n')
    const pragma = lines.findIndex((line) => line.startsWith('#pragma GCC target('))
    const standard = lines.findLastIndex((line) => /^#include </.test(line))
    t.true(pragma >= 0, `${file} has no #pragma GCC target`)
    t.true(standard < pragma, `${file} includes ${lines[standard]} after its #pragma GCC target`)
  }
})

test('a program for CMake or gyp gets one entry a line', (t) => {
  const output = execFileSync(process.execPath, [join(root, 'scripts/sources.js'), 'sources'], { encoding: 'utf8' })
  t.deepEqual(output.trim().split('\n'), [...sources.sources(), ...sources.emulatedSources()])
})

test('the host compiler gets a file for each CUDA source, which includes it and nothing else', (t) => {
  const included = sources.emulatedSources().map((file) => {
    const [, name] = /^#include "(.*)"\n$/.exec(read(file)) ?? []
    return join(file, '..', name ?? 'nothing')
  })
  t.deepEqual(included.sort(), filesOf('cuda', '.cu').sort())
})

test('everybody names the same system packages', (t) => {
  t.deepEqual(systemPackages, toolchain.systemPackages)
  t.true(read('docs/guides/install.md').includes(`apt install ${systemPackages.join(' ')}`))
})

test('missing tools are named, and node-gyp is content without cmake', (t) => {
  const nothing = { compilerName: 'g++', compiler: null, cmake: null, make: false, ninja: false, dnnl: null }
  t.deepEqual(toolchain.missing(nothing, 'cmake-js'), ['a C++ compiler (g++)', 'cmake', 'make'])
  const noCmake = { ...nothing, compiler: '12.2.0', make: true, dnnl: '3.1.0' }
  t.deepEqual(toolchain.missing(noCmake, 'cmake-js'), ['cmake'])
  t.deepEqual(toolchain.missing(noCmake, 'node-gyp'), [])
  t.deepEqual(toolchain.missing({ ...noCmake, dnnl: null }, 'node-gyp'), ['oneDNN (oneapi/dnnl/dnnl.hpp)'])
})

test('both sides of the program agree on its format version', (t) => {
  const declared = read('native/core/program.h').match(/kFormatVersion = (\d+)/)?.[1]
  t.is(Number(declared), formatVersion)
})

test('the build asks for the Node-API version that the package declares and Node offers', (t) => {
  const manifest = JSON.parse(read('package.json')) as { binary: { napi_versions: number[] } }
  const defines = execFileSync(process.execPath, [join(root, 'scripts/sources.js'), 'defines'], { encoding: 'utf8' })
  t.true(defines.split('\n').includes(`NAPI_VERSION=${manifest.binary.napi_versions[0]}`))
  t.true(Number(process.versions.napi) >= manifest.binary.napi_versions[0])
})

test('the third-party notices name every package that is installed beside this one', (t) => {
  const manifest = JSON.parse(read('package.json')) as Record<'dependencies' | 'devDependencies', Record<string, string>>
  const notices = read('THIRD_PARTY_NOTICES.md')
  const names = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies })
  t.deepEqual(names.filter((name) => !new RegExp(`(^|[\\s,|])${name}[\\s,|]`, 'm').test(notices)), [])
})
