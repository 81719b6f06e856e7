/** A hash of the content of tensors on disk, read in pieces: the same weights in another file or order hash alike. */
import { createHash } from 'node:crypto'
import { open, type FileHandle } from 'node:fs/promises'
import type { WeightLocation } from './checkpoint'

const pieceBytes = 8 << 20

/** sha256 over names, dtypes, shapes and bytes, in the order of the names; hexadecimal. */
export async function hashTensors(tensors: ReadonlyMap<string, WeightLocation>): Promise<string> {
  const hash = createHash('sha256')
  const handles = new Map<string, FileHandle>()
  const piece = Buffer.allocUnsafe(pieceBytes)
  try {
    for (const [name, { file, dtype, shape, offset, bytes }] of [...tensors].sort(([a], [b]) => (a < b ? -1 : 1))) {
      hash.update(`${name} ${dtype} ${shape.join('x')} `)
      const handle = handles.get(file) ?? (await open(file))
      handles.set(file, handle)
      for (let done = 0; done < bytes; ) {
        const { bytesRead } = await handle.read(piece, 0, Math.min(pieceBytes, bytes - done), offset + done)
        if (bytesRead === 0) break
        hash.update(piece.subarray(0, bytesRead))
        done += bytesRead
      }
    }
  } finally {
    for (const handle of handles.values()) await handle.close()
  }
  return hash.digest('hex')
}
