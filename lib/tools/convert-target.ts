/**
 * Where a converted model goes. It is put together in a folder of its own beside the target, `.NAME.PID-RANDOM.tmp`,
 * and takes its name by a rename when it is complete and checked: under its own name there is a whole model or the one
 * that was there before.
 */
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { explain, syncFolder } from '../base/atomic-file'
import { LorikeetError } from '../base/errors'

/** Everything that a converted folder holds; only such a folder is replaced. */
export const folderFiles: readonly string[] = [
  'model_index.json',
  'scheduler/scheduler_config.json',
  'text_encoder/config.json',
  'text_encoder/model.safetensors',
  'tokenizer/added_tokens.json',
  'tokenizer/merges.txt',
  'tokenizer/special_tokens_map.json',
  'tokenizer/tokenizer.json',
  'tokenizer/tokenizer_config.json',
  'tokenizer/vocab.json',
  'unet/config.json',
  'unet/diffusion_pytorch_model.safetensors',
  'vae/config.json',
  'vae/diffusion_pytorch_model.safetensors',
]

export interface Target {
  /** As the person gave it. */
  out: string
  kind: 'file' | 'folder'
  overwrite: boolean
  /** What is converted: a file or a folder, and the files that it consists of. */
  input: string
  inputFiles: readonly string[]
}

/** @throws LorikeetError (usage) when the target is taken, is the input, lies inside it or holds it */
export function checkTarget(target: Target): void {
  const { out, kind, overwrite, input, inputFiles } = target
  if (kind === 'file' && !/\.safetensors$/i.test(out))
    throw new LorikeetError('usage', 'this is no name for the file to write', {
      where: out,
      expected: 'a name that ends in .safetensors',
      fix: 'Change --out',
    })
  const place = realPath(out)
  const [source, ...sources] = [input, ...inputFiles].map(realPath)
  if (place === source || sources.includes(place)) {
    throw new LorikeetError('usage', 'the output is the input', { where: out, fix: 'Choose another --out' })
  }
  if (isInside(place, source)) {
    throw new LorikeetError('usage', `the output lies inside the input ${input}`, {
      where: out,
      fix: 'Choose another --out',
    })
  }
  if ([source, ...sources].some((file) => isInside(file, place))) {
    throw new LorikeetError('usage', `the input ${input} lies inside the output`, {
      where: out,
      fix: 'Choose another --out',
    })
  }
  const stats = fs.statSync(place, { throwIfNoEntry: false })
  if (!stats || (kind === 'folder' && stats.isDirectory() && fs.readdirSync(place).length === 0)) return
  if (stats.isDirectory() !== (kind === 'folder')) {
    const [expected, received] = kind === 'folder' ? ['a folder', 'a file'] : ['a file', 'a folder']
    throw new LorikeetError('usage', 'something else is there', {
      where: out,
      expected,
      received,
      fix: 'Choose another --out',
    })
  }
  if (!overwrite) {
    const fix = 'Replace it with --overwrite, or choose another --out'
    throw new LorikeetError('usage', `there is a ${kind} of this name already`, { where: out, fix })
  }
  const foreign = kind === 'folder' ? foreignFile(place) : undefined
  if (foreign === undefined) return
  throw new LorikeetError('usage', `the folder holds more than a converted model: ${foreign}`, {
    where: out,
    fix: 'It is not replaced, so that nothing of yours is lost: remove it yourself, or choose another --out',
  })
}

/** @returns the first file that a converted folder does not have */
function foreignFile(folder: string): string | undefined {
  return fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)).split(path.sep).join('/'))
    .find((name) => !folderFiles.includes(name))
}

/**
 * Writes the target whole or not at all.
 * @param write fills the place that it is given: a path of the target's kind, not there yet (a folder is)
 * @param check reads the result back before it takes its name
 * @throws LorikeetError (failed) when the system refuses; what was there before is then unchanged
 */
export function writeTarget(
  { out, kind }: Target,
  write: (place: string) => void,
  check: (place: string) => void,
): void {
  const target = realPath(out)
  const folder = path.dirname(target)
  const stage = path.join(folder, `.${path.basename(target)}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`)
  const place = path.join(stage, path.basename(target))
  try {
    removeLeftovers(folder, path.basename(target))
    fs.mkdirSync(kind === 'folder' ? place : stage, { recursive: fs.existsSync(folder) })
    write(place)
    check(place)
    if (kind === 'folder') replaceFolder(place, target, `${stage}.old`)
    else fs.renameSync(place, target)
    syncFolder(folder)
  } catch (error) {
    throw error instanceof LorikeetError ? error : explain(out, error)
  } finally {
    fs.rmSync(stage, { recursive: true, force: true })
  }
}

/** A folder cannot take the place of a full one in one step: the old one steps aside, and comes back if that fails. */
function replaceFolder(place: string, target: string, aside: string): void {
  for (const entry of fs.readdirSync(place, { withFileTypes: true })) {
    if (entry.isDirectory()) syncFolder(path.join(place, entry.name))
  }
  syncFolder(place)
  const exists = fs.existsSync(target)
  if (exists) fs.renameSync(target, aside)
  try {
    fs.renameSync(place, target)
  } catch (error) {
    if (exists) fs.renameSync(aside, target)
    throw error
  }
  if (exists) fs.rmSync(aside, { recursive: true, force: true })
}

/** What conversions to the same target left behind that were killed: gigabytes, in a hidden folder. */
function removeLeftovers(folder: string, name: string): void {
  if (!fs.existsSync(folder)) return
  for (const entry of fs.readdirSync(folder)) {
    if (!entry.startsWith(`.${name}.`)) continue
    const [, pid] = /^(\d+)-[0-9a-f]{8}\.tmp$/.exec(entry.slice(name.length + 2)) ?? []
    if (pid !== undefined && !isRunning(Number(pid)))
      fs.rmSync(path.join(folder, entry), { recursive: true, force: true })
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH')
  }
}

/** The path without links, also where its last parts are not there yet. */
function realPath(file: string): string {
  const full = path.resolve(file)
  try {
    return fs.realpathSync(full)
  } catch {
    const folder = path.dirname(full)
    return folder === full ? full : path.join(realPath(folder), path.basename(full))
  }
}

function isInside(file: string, folder: string | undefined): boolean {
  return folder !== undefined && file.startsWith(folder.endsWith(path.sep) ? folder : folder + path.sep)
}

/** Bytes of a file, or of all files of a folder. */
export function sizeOf(place: string): number {
  const stats = fs.statSync(place)
  if (!stats.isDirectory()) return stats.size
  return fs.readdirSync(place).reduce((sum, name) => sum + sizeOf(path.join(place, name)), 0)
}
