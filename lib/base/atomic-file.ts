/**
 * Writing files so that a crash, a kill or a full disk never leaves half a file under the final name: the data goes to
 * a temporary file in the same folder, is synced, and takes the name by a rename, which the file system does in one
 * step.
 */
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { LorikeetError } from './errors'

export interface AtomicWriteOptions {
  /** Called with the temporary file's path after it was synced; what it throws keeps the old file. */
  verify?: (temporaryPath: string) => void
}

/**
 * Replaces `file` by new content, or leaves it as it was.
 * @param data the content, or a function that writes it to the descriptor that it is given (see `writeAll`)
 * @throws LorikeetError of kind `failed` when the system refuses (full disk, rights, missing folder): the temporary
 *   file is removed and the old file is untouched. Errors of `data` and `verify` that are LorikeetErrors pass unchanged
 */
export function writeFileAtomic(
  file: string,
  data: string | Uint8Array | ((fd: number) => void),
  options: AtomicWriteOptions = {},
): void {
  const target = followLinks(file)
  const folder = path.dirname(target)
  const temporary = path.join(folder, `.${path.basename(target)}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`)
  let fd: number | undefined
  try {
    fd = fs.openSync(temporary, 'wx', existingMode(target))
    if (typeof data === 'function') data(fd)
    else writeAll(fd, typeof data === 'string' ? Buffer.from(data, 'utf8') : data)
    fs.fsyncSync(fd)
    fs.closeSync(fd)
    fd = undefined
    options.verify?.(temporary)
    fs.renameSync(temporary, target)
    syncFolder(folder)
  } catch (error) {
    if (fd !== undefined) fs.closeSync(fd)
    fs.rmSync(temporary, { force: true })
    throw error instanceof LorikeetError ? error : explain(file, error)
  }
}

/** Writes all bytes at the descriptor's position; the system may take them in several parts. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  let done = 0
  while (done < bytes.length) done += fs.writeSync(fd, bytes, done, Math.min(bytes.length - done, 2 ** 30))
}

/** A link keeps pointing at its target, which is what is replaced. */
function followLinks(file: string): string {
  try {
    return fs.realpathSync(file)
  } catch {
    return path.resolve(file)
  }
}

function existingMode(file: string): number {
  return (fs.statSync(file, { throwIfNoEntry: false })?.mode ?? 0o666) & 0o777
}

/** Makes the rename itself durable. Some systems cannot open or sync a folder; there the rename is all one can have. */
export function syncFolder(folder: string): void {
  let fd: number | undefined
  try {
    fd = fs.openSync(folder, 'r')
    fs.fsyncSync(fd)
  } catch (error) {
    const unsupported = ['EINVAL', 'EISDIR', 'EPERM', 'EACCES', 'ENOTSUP', 'EBADF']
    if (!unsupported.includes(errorCode(error))) throw error
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
  }
}

const remedies: Record<string, [problem: string, fix: string]> = {
  ENOSPC: ['the disk is full', 'Free some space or choose another folder, then try again'],
  EDQUOT: ['the disk quota is used up', 'Free some space or choose another folder, then try again'],
  EFBIG: ['the file is larger than the system allows', 'Choose another folder or raise the limit (ulimit -f)'],
  EACCES: ['no permission to write here', 'Change the rights of the folder or choose another one'],
  EPERM: ['no permission to write here', 'Change the rights of the folder or choose another one'],
  EROFS: ['the file system is read-only', 'Choose another folder'],
  ENOENT: ['the folder does not exist', 'Create it first or correct the path'],
  ENOTDIR: ['part of the path is a file, not a folder', 'Correct the path'],
  EISDIR: ['this is a folder', 'Give the name of a file'],
  ENOTEMPTY: ['this is a folder', 'Give the name of a file'],
  EIO: ['the disk reports an error', 'Check the disk, or choose another one'],
}

/** What the system said when it refused to write, as people read it. Errors that are not the system's pass unchanged. */
export function explain(file: string, error: unknown): Error {
  const code = errorCode(error)
  const known = remedies[code]
  if (!known && !code) return error instanceof Error ? error : new Error(String(error))
  const [problem, fix] = known ?? [`the file could not be written (${code})`, 'Check the disk and the path']
  const kept = fs.existsSync(file) ? '; the file that was there before is unchanged' : ''
  return new LorikeetError('failed', `${problem}${kept}`, { where: file, fix, cause: error })
}

function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}
