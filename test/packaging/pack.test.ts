/** The published package holds what people need to run and to build, and nothing else. */
import test from 'ava'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, renameSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { packageRoot } from '../../lib/native-loader'

const root = packageRoot()
const folder = mkdtempSync(join(tmpdir(), 'lorikeet-pack-'))
let packed: string[] = []

test.before('pack and unpack as an installation would', () => {
  execFileSync('npm', ['pack', '--pack-destination', folder], { cwd: root, stdio: 'pipe' })
  const [tarball] = readdirSync(folder)
  execFileSync('tar', ['-xzf', tarball], { cwd: folder })
  packed = files(join(folder, 'package'))
})

test('the package holds exactly the program, its data, the demo model, the native sources and their build', (t) => {
  const library = files(join(root, 'lib')).map((file) => `lib/${file}`)
  const scripts = library.filter((file) => file.endsWith('.ts')).map((file) => file.replace(/\.ts$/, ''))
  const expected = [
    ...scripts.flatMap((file) => [`dist/${file}.js`, `dist/${file}.d.ts`]),
    ...library.filter((file) => !file.endsWith('.ts')),
    ...files(join(root, 'native')).map((file) => `native/${file}`),
    ...files(join(root, 'cuda')).map((file) => `cuda/${file}`),
    ...files(join(root, 'models')).map((file) => `models/${file}`),
    ...['build', 'cuda/nvcc', 'cuda/objects', 'install', 'sources', 'toolchain'].map((name) => `scripts/${name}.js`),
    ...['CMakeLists.txt', 'binding.gyp', 'package.json'],
    ...['LICENSE', 'README.md', 'CHANGELOG.md', 'THIRD_PARTY_NOTICES.md'],
  ]
  const without = (some: string[], others: string[]) => some.filter((file) => !others.includes(file)).sort()
  t.deepEqual({ missing: without(expected, packed), extra: without(packed, expected) }, { missing: [], extra: [] })
})

test('the packed scripts need nothing that was left out', (t) => {
  const sources = execFileSync(process.execPath, [join(folder, 'package', 'scripts', 'sources.js'), 'sources'], {
    encoding: 'utf8',
  })
  const written = /^build\/emulated\// // by the script itself: files that include a packed one
  t.deepEqual(
    sources.trim().split('\n').filter((file) => !written.test(file) && !packed.includes(file)),
    [],
  )
})

test('the installed command runs where the addon is not built', (t) => {
  const home = join(folder, 'node_modules')
  mkdirSync(home)
  renameSync(join(folder, 'package'), join(home, 'lorikeet'))
  symlinkSync(join(root, 'node_modules'), join(home, 'lorikeet', 'node_modules'))
  const main = join(home, 'lorikeet', 'dist', 'lib', 'cli', 'main.js')
  const version = execFileSync(process.execPath, [main, '--version'], { cwd: folder, encoding: 'utf8' })
  t.regex(version, /\d+\.\d+\.\d+/)
})

function files(where: string): string[] {
  return readdirSync(where, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(where.length + 1))
}
