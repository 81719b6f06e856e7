/** Every way in which the addon cannot be loaded says which file, why, and the remedy. */
import test from 'ava'
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LorikeetError } from '../../lib/base/errors'
import { diagnose, loadFrom } from '../../lib/native-loader'

/** An empty installation, with what `files` puts into build/Release. */
function installation(files: Record<string, string> = {}): string {
  const root = mkdtempSync(join(tmpdir(), 'lorikeet-loader-'))
  const release = join(root, 'build', 'Release')
  mkdirSync(release, { recursive: true })
  for (const [name, content] of Object.entries(files)) writeFileSync(join(release, name), content)
  return root
}

function failure(env: NodeJS.ProcessEnv, root: string): LorikeetError {
  try {
    loadFrom(env, root)
  } catch (error) {
    if (error instanceof LorikeetError) return error
    throw error
  }
  throw new Error('loading succeeded')
}

test('an addon that was never built names the packages and the command that builds it', (t) => {
  const root = installation()
  const { message, details } = failure({}, root)
  t.is(details.where, join(root, 'build', 'Release', 'lorikeet.node'))
  t.regex(message, /has not been built/)
  t.true(message.includes('sudo apt install build-essential cmake libdnnl-dev'))
  t.true(message.includes(`node ${join(root, 'scripts', 'build.js')}`))
})

test('in a clone the command is the npm script', (t) => {
  const root = installation()
  mkdirSync(join(root, '.git'))
  t.regex(failure({}, root).message, /npm run build:native/)
})

test('a build without its done-marker is not loaded', (t) => {
  const root = installation({ 'lorikeet.node': 'half an addon' })
  t.regex(failure({}, root).message, /its build did not finish. Build it again/)
})

test('a damaged addon is reported as damaged', (t) => {
  const root = installation({ 'lorikeet.node': 'no ELF file, but longer than an ELF header is. '.repeat(9), 'lorikeet.done': '' })
  const error = failure({}, root)
  t.regex(error.message, /damaged or was built for another kind of machine. Build it again/)
  t.true(error.cause instanceof Error)
})

test('LORIKEET_NATIVE that names no file is said to be wrong, and nothing else is tried', (t) => {
  const error = failure({ LORIKEET_NATIVE: '/nowhere/lorikeet.node' }, installation())
  t.is(error.details.where, '/nowhere/lorikeet.node')
  t.regex(error.message, /LORIKEET_NATIVE names it, but it does not exist/)
})

test('an addon of another program format is refused with both versions', (t) => {
  const file = join(installation({ 'other.js': 'module.exports = { formatVersion: 99 }' }), 'build', 'Release', 'other.js')
  t.regex(failure({ LORIKEET_NATIVE: file }, installation()).message, /reads program format 99, .* writes \d+/)
})

const complaints: [string, { message: string; code?: string }, RegExp, RegExp][] = [
  [
    'a missing oneDNN names its package',
    { message: 'libdnnl.so.3: cannot open shared object file: No such file or directory' },
    /needs libdnnl\.so\.3/,
    /apt install libdnnl3\)/,
  ],
  [
    'a missing library of unknown package is still named',
    { message: 'libfoo.so.7: cannot open shared object file: No such file or directory' },
    /needs libfoo\.so\.7/,
    /^Install it, or build/,
  ],
  [
    'a glibc that is too old is named with both versions',
    { message: "/lib/libc.so.6: version `GLIBC_9.99' not found (required by x.node)" },
    /glibc 9\.99, this machine has \d\.\d+/,
    /Build it again on this machine/,
  ],
  [
    'a libstdc++ that is too old is named',
    { message: "libstdc++.so.6: version `GLIBCXX_3.4.99' not found (required by x.node)" },
    /GLIBCXX 3\.4\.99/,
    /Build it again/,
  ],
  [
    'a Node without addons is told apart',
    { message: 'Cannot load native addon', code: 'ERR_DLOPEN_DISABLED' },
    /--no-addons/,
    /Start Node without/,
  ],
  ['a Node that is too old is told apart', { message: 'undefined symbol: napi_type_tag_object' }, /too old/, /20\.19/],
  ['an unknown complaint is passed on', { message: 'something else' }, /^something else$/, /Build it again/],
]
for (const [title, error, reason, fix] of complaints) {
  test(title, (t) => {
    const failure = diagnose('x.node', error, '/r')
    t.regex(failure.reason, reason)
    t.regex(failure.fix, fix)
  })
}
