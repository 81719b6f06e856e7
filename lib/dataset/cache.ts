/**
 * A folder of encoded tensors whose names are hashes of everything that influenced them: an edited caption, a
 * replaced image or another VAE gives another name, so that nothing stale is ever read, and nothing needs deleting
 * to be right. An entry is one file:
 *
 *     "LORIKEET" | u32 header length | header, JSON | tensors, f32 little-endian | sha256 of all before
 *
 * written whole or not at all; what does not have its length and checksum counts as absent.
 */

import { createHash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { writeFileAtomic } from '../base/atomic-file'
import { LorikeetError } from '../base/errors'

const magic = Buffer.from('LORIKEET')
const hashBytes = 32

/** Part of every key: entries of another format are never found, rather than misread. */
const formatVersion = 1

export interface CachedTensor {
  data: Float32Array
  shape: readonly number[]
}

/** Tensors by name. */
export type CacheEntry = Record<string, CachedTensor>

interface Header {
  tensors: { name: string; shape: number[] }[]
}

/** The name of an entry: sha256 over all that influences it, in hex. The order of fields does not matter. */
export function cacheKey(influences: Record<string, string | number | boolean | undefined>): string {
  const sorted = Object.entries({ ...influences, formatVersion }).sort(([a], [b]) => (a < b ? -1 : 1))
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex')
}

export function entryPath(folder: string, key: string): string {
  return path.join(folder, `${key}.bin`)
}

/** @returns the tensors, or why there are none */
export async function readEntry(folder: string, key: string): Promise<CacheEntry | 'absent' | 'damaged'> {
  let bytes: Buffer
  try {
    bytes = await readFile(entryPath(folder, key))
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'absent' : 'damaged'
  }
  return decodeEntry(bytes) ?? 'damaged'
}

/** @throws LorikeetError of kind failed when the folder cannot be written, naming `cache_dir` as the way out */
export function writeEntry(folder: string, key: string, entry: CacheEntry): void {
  try {
    mkdirSync(folder, { recursive: true })
    writeFileAtomic(entryPath(folder, key), encodeEntry(entry))
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new LorikeetError('failed', `the cache cannot be written (${reason})`, {
      where: folder,
      fix: 'Free some space, or set cache_dir to a folder that can be written',
      cause,
    })
  }
}

export function encodeEntry(entry: CacheEntry): Buffer {
  const tensors = Object.entries(entry).map(([name, { data, shape }]) => {
    if (sizeOf(shape) !== data.length) {
      throw new LorikeetError('failed', 'the encoder gave a shape that does not fit its data', {
        where: name,
        expected: `${sizeOf(shape)} numbers for [${shape.join(', ')}]`,
        received: String(data.length),
      })
    }
    return { name, shape: [...shape] }
  })
  const header = Buffer.from(JSON.stringify({ tensors } satisfies Header))
  const length = Buffer.alloc(4)
  length.writeUInt32LE(header.length)
  const payload = Object.values(entry).map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength))
  const body = Buffer.concat([magic, length, header, ...payload])
  return Buffer.concat([body, createHash('sha256').update(body).digest()])
}

/** @returns undefined for anything but a whole, unchanged entry */
export function decodeEntry(bytes: Buffer): CacheEntry | undefined {
  const start = magic.length + 4
  if (bytes.length < start + hashBytes || !bytes.subarray(0, magic.length).equals(magic)) return undefined
  const body = bytes.subarray(0, bytes.length - hashBytes)
  if (!createHash('sha256').update(body).digest().equals(bytes.subarray(body.length))) return undefined
  const headerEnd = start + bytes.readUInt32LE(magic.length)
  const header = JSON.parse(bytes.toString('utf8', start, headerEnd)) as Header // the checksum vouches for it
  const entry: CacheEntry = {}
  let offset = headerEnd
  for (const { name, shape } of header.tensors) {
    const end = offset + sizeOf(shape) * 4
    entry[name] = { data: new Float32Array(new Uint8Array(bytes.subarray(offset, end)).buffer), shape }
    offset = end
  }
  return entry
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1)
}
