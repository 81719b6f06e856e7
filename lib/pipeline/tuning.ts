/**
 * Which kernels turned out to be the fastest on a card, kept in the user's cache folder: one small file for each model of
 * card and build of the addon. `LORIKEET_TUNING` names another folder, or is `off`: then nothing is read, measured or
 * written. The emulated card takes part only where that variable names a folder.
 *
 * Nothing here stops a run: a damaged file counts as none, and where nothing can be written, it is measured again next time.
 */
import { mkdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import * as path from 'node:path'
import { writeFileAtomic } from '../base/atomic-file'
import type { Choices, DeviceInfo } from '../native'
import { addonFingerprint } from '../native-loader'

export interface Tuning {
  file: string
  /** What the file said when it was opened. */
  choices: Choices
  /** What is wrong with the file, for people. */
  problem?: string
}

interface Content {
  card: string
  build: string
  choices: Choices
}

/** Undefined when nothing is to be kept. */
export function tuningFolder(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const named = env.LORIKEET_TUNING
  if (named === 'off') return undefined
  if (named) return path.resolve(named)
  const cache = env.XDG_CACHE_HOME
  return path.join(cache && path.isAbsolute(cache) ? cache : path.join(homedir(), '.cache'), 'lorikeet', 'tuning')
}

/** Undefined for a device that has no choice, and where nothing is to be measured. */
export function openTuning(
  device: Pick<DeviceInfo, 'name' | 'description' | 'isa'>,
  env: NodeJS.ProcessEnv = process.env,
  build = addonFingerprint(),
): Tuning | undefined {
  const folder = tuningFolder(env)
  const takesPart = device.name === 'cuda-sim' ? Boolean(env.LORIKEET_TUNING) : device.name.startsWith('cuda')
  if (!folder || !takesPart) return undefined
  const card = `${device.description}, ${device.isa}`
  const file = path.join(folder, `${card.replace(/[^A-Za-z0-9]+/g, '-')}-${build}.json`)
  const content = read(file)
  if (content === 'damaged') {
    const problem = `${file} is damaged and counts as empty: the card's kernels are measured again, which takes some seconds.`
    return { file, choices: {}, problem }
  }
  return { file, choices: content?.choices ?? {} }
}

/**
 * Adds what was measured to the file, and keeps what another process wrote there meanwhile. (Of two that write in the same
 * instant one may lose its part, which is then measured again.)
 */
export function saveTuning(
  { file }: Tuning,
  device: Pick<DeviceInfo, 'description' | 'isa'>,
  measured: Choices,
  build = addonFingerprint(),
): void {
  if (Object.keys(measured).length === 0) return
  const found = read(file)
  const before = found === 'damaged' ? undefined : found?.choices
  const choices = Object.fromEntries(Object.entries({ ...before, ...measured }).sort(([a], [b]) => (a < b ? -1 : 1)))
  const content: Content = { card: `${device.description}, ${device.isa}`, build, choices }
  try {
    mkdirSync(path.dirname(file), { recursive: true })
    writeFileAtomic(file, `${JSON.stringify(content, null, 1)}\n`)
  } catch {
    // a full disk, a folder of somebody else's: see above
  }
}

/** Undefined when there is no such file, or none that may be read. */
function read(file: string): Content | 'damaged' | undefined {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
  try {
    const content = JSON.parse(text) as Partial<Content> | null
    const choices = content?.choices
    const isWhole = typeof choices === 'object' && choices !== null && Object.values(choices).every((name) => typeof name === 'string')
    return isWhole ? (content as Content) : 'damaged'
  } catch {
    return 'damaged'
  }
}
