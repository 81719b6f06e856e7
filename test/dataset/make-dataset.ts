/** Small datasets in temporary folders: images are drawn by sharp when a test runs. */

import { ExecutionContext } from 'ava'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import sharp from 'sharp'

/** A folder that is removed after the test. */
export function temporaryFolder(t: ExecutionContext): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'lorikeet-dataset-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Writes files by relative path, with the folders they need. */
export function writeFiles(root: string, files: Record<string, string | Buffer>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(root, name)), { recursive: true })
    writeFileSync(path.join(root, name), content)
  }
}

/** One colour. */
export function plain(width: number, height: number, background: sharp.Color = '#804020'): sharp.Sharp {
  return sharp({ create: { width, height, channels: 3, background } })
}

export function png(width: number, height: number, background?: sharp.Color): Promise<Buffer> {
  return plain(width, height, background).png().toBuffer()
}

/** Pixels from a function of the place, 8-bit RGB. */
export function drawn(width: number, height: number, at: (x: number, y: number) => number[]): sharp.Sharp {
  const pixels = Buffer.alloc(width * height * 3)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) pixels.set(at(x, y), (y * width + x) * 3)
  }
  return sharp(pixels, { raw: { width, height, channels: 3 } })
}

/** Does not compress, so that cutting the file cuts pixels. */
export function noise(width: number, height: number, seed = 1): sharp.Sharp {
  let state = seed
  const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 24
  return drawn(width, height, () => [next(), next(), next()])
}
