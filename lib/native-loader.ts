/**
 * Finds and loads the native addon. Its main job is the message when that fails: what was tried, why each failed, and
 * the remedy that fits the cause. lib/native.ts puts types on what this returns.
 *
 * Order: the file that LORIKEET_NATIVE names, alone if it is set; otherwise build/Release/lorikeet.node of this package.
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { LorikeetError } from './base/errors'
import { formatVersion } from './graph/program'

/** The Debian/Ubuntu packages that a build needs, as scripts/toolchain.js installs them. */
export const systemPackages = ['build-essential', 'cmake', 'libdnnl-dev']

/** One file that was tried, and the reason and remedy that make a person able to go on. */
export interface LoadFailure {
  file: string
  reason: string
  fix: string
}

let loaded: unknown

/**
 * The addon's exports. Loaded once per environment (main thread or worker).
 * @throws LorikeetError of kind `failed`: it lists what was tried, why it failed and what to do.
 */
export function loadAddon(): unknown {
  loaded ??= loadFrom(process.env)
  return loaded
}

/** `loadAddon` without its memory: loads what that environment asks for. */
export function loadFrom(env: NodeJS.ProcessEnv, root = packageRoot()): unknown {
  const file = addonFile(env, root)
  const failure = refuse(file, root, Boolean(env.LORIKEET_NATIVE))
  if (failure) throw explain(failure)

  let addon: { formatVersion?: unknown }
  try {
    addon = require(file)
  } catch (error) {
    throw explain(diagnose(file, error as NodeJS.ErrnoException, root), error)
  }
  if (addon.formatVersion === formatVersion) return addon
  throw explain({
    file,
    reason: `it reads program format ${String(addon.formatVersion)}, this version of Lorikeet writes ${formatVersion}`,
    fix: `Build it again: ${buildCommand(root)}`,
  })
}

function addonFile(env: NodeJS.ProcessEnv, root: string): string {
  return env.LORIKEET_NATIVE ? resolve(env.LORIKEET_NATIVE) : join(root, 'build', 'Release', 'lorikeet.node')
}

/** Tells builds of the addon apart: by their sources where the build noted them, otherwise by the file. */
export function addonFingerprint(env: NodeJS.ProcessEnv = process.env, root = packageRoot()): string {
  const file = addonFile(env, root)
  const hash = createHash('sha256')
  try {
    const { inputs } = JSON.parse(readFileSync(file.replace(/node$/, 'done'), 'utf8')) as { inputs: string }
    hash.update(inputs)
  } catch {
    const { size, mtimeMs } = statSync(file)
    hash.update(`${size} ${mtimeMs}`)
  }
  return hash.digest('hex').slice(0, 12)
}

/** Reasons not even to try; undefined when the file may be loaded. */
function refuse(file: string, root: string, isNamed: boolean): LoadFailure | undefined {
  if (Number(process.versions.napi) < 8) {
    const reason = `Node ${process.versions.node} offers Node-API ${process.versions.napi}, the addon needs 8`
    return { file, reason, fix: 'Use Node 20.19 or later.' }
  }
  if (isNamed) {
    if (existsSync(file)) return undefined
    const reason = 'LORIKEET_NATIVE names it, but it does not exist'
    return { file, reason, fix: 'Correct LORIKEET_NATIVE, or unset it to use the addon built with this package.' }
  }
  if (!existsSync(file)) {
    const packages = `sudo apt install ${systemPackages.join(' ')}`
    return { file, reason: 'it has not been built', fix: `Build it: ${packages}, then ${buildCommand(root)}` }
  }
  if (!existsSync(file.replace(/node$/, 'done'))) {
    return { file, reason: 'its build did not finish', fix: `Build it again: ${buildCommand(root)}` }
  }
  return undefined
}

/** What the dynamic linker's complaint means for the person who reads it. */
export function diagnose(file: string, error: { message: string; code?: string }, root: string): LoadFailure {
  const { message } = error
  const rebuild = `Build it again on this machine: ${buildCommand(root)}`
  const library = message.match(/(lib\S+?\.so[.\d]*): cannot open shared object file/)?.[1]
  if (library) {
    const packageName = debianPackage(library)
    const install = packageName ? `Install it (sudo apt install ${packageName}), or build` : 'Install it, or build'
    const fix = `${install} the addon again for this machine: ${buildCommand(root)}`
    return { file, reason: `it needs ${library}, which this machine does not have`, fix }
  }
  const symbol = message.match(/version [`'](GLIBC(?:XX)?)_([\d.]+)' not found/)
  if (symbol) {
    const [, name, required] = symbol
    const found = name === 'GLIBC' ? `this machine has ${glibcVersion()}` : 'this machine has an older one'
    const what = name === 'GLIBC' ? 'glibc' : "GCC's libstdc++ with GLIBCXX"
    return { file, reason: `it was built for ${what} ${required}, ${found}`, fix: rebuild }
  }
  if (error.code === 'ERR_DLOPEN_DISABLED') {
    return { file, reason: 'Node was started with --no-addons', fix: 'Start Node without --no-addons.' }
  }
  if (/invalid ELF header|wrong ELF class|file too short|cannot open shared object file/.test(message)) {
    return { file, reason: 'it is damaged or was built for another kind of machine', fix: rebuild }
  }
  if (/undefined symbol: napi_/.test(message)) {
    return { file, reason: `Node ${process.versions.node} is too old for it`, fix: 'Use Node 20.19 or later.' }
  }
  return { file, reason: message.trim(), fix: rebuild }
}

/** The package that holds a library, where its name follows from the library's. */
function debianPackage(library: string): string | undefined {
  const [, name, version] = library.match(/^lib(\w+)\.so\.(\d+)/) ?? []
  return name === 'dnnl' || name === 'gomp' ? `lib${name}${version}` : undefined
}

function glibcVersion(): string {
  const report = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } }
  return report.header.glibcVersionRuntime ?? 'another C library (musl?)'
}

function explain({ file, reason, fix }: LoadFailure, cause?: unknown): LorikeetError {
  return new LorikeetError('failed', `the native addon cannot be loaded: ${reason}`, { where: file, fix, cause })
}

/** What builds the addon, in a clone of the repository or inside somebody's node_modules. */
function buildCommand(root: string): string {
  return existsSync(join(root, '.git')) ? 'npm run build:native' : `node ${join(root, 'scripts', 'build.js')}`
}

/** The folder of this package's package.json, from lib/ as from dist/lib/. */
export function packageRoot(): string {
  for (let folder = __dirname; ; folder = dirname(folder)) {
    const manifest = join(folder, 'package.json')
    if (existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).name === 'lorikeet') return folder
    if (folder === dirname(folder)) throw new Error(`no package.json of lorikeet above ${__dirname}`)
  }
}

/** "0.1.0" */
export function packageVersion(): string {
  const description: unknown = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8'))
  return (description as { version: string }).version
}
