/** Pictures as PNG files that carry their settings. */
import * as fs from 'node:fs'
import sharp from 'sharp'
import { writeFileAtomic } from '../base/atomic-file'
import { LorikeetError } from '../base/errors'
import { checkImage, toChannelsLast, type Values } from '../pipeline/images'
import { insertText, readTexts } from './png-text'
import { type GenerationSettings, parseSettings, renderSettings } from './settings'

/** Under which AUTOMATIC1111 and the tools that read its pictures look. */
const keyword = 'parameters'

/**
 * 8 bits a channel, as diffusers rounds them.
 * @param pixels [1, 3, H, W] in [-1, 1]; what lies outside is cut off
 */
export async function encodePng(pixels: Values, settings?: GenerationSettings): Promise<Buffer> {
  const [batch, , height, width] = checkImage('the picture', pixels, 3)
  if (batch !== 1) throw new LorikeetError('usage', 'a PNG file holds one picture', { received: `${batch} pictures` })
  const bytes = Uint8Array.from(toChannelsLast(pixels).data, (value) =>
    Math.round(Math.min(1, Math.max(0, value / 2 + 0.5)) * 255),
  )
  const png = await sharp(bytes, { raw: { width, height, channels: 3 } }).png().toBuffer()
  return settings ? insertText(png, keyword, renderSettings(settings)) : png
}

/** @throws LorikeetError (failed) when the file cannot be written; one that was there before is then unchanged */
export async function writePng(file: string, pixels: Values, settings?: GenerationSettings): Promise<void> {
  writeFileAtomic(file, await encodePng(pixels, settings))
}

/**
 * The settings in a PNG file, of this or another tool that writes them as AUTOMATIC1111 does.
 * @returns undefined when the file has none
 * @throws LorikeetError (input) when it is no sound PNG file
 */
export function readPngSettings(file: string): (Partial<GenerationSettings> & { text: string }) | undefined {
  if (!fs.existsSync(file)) throw new LorikeetError('input', 'there is no such file', { where: file })
  const text = readTexts(fs.readFileSync(file), file).get(keyword)
  return text === undefined ? undefined : { ...parseSettings(text), text }
}

/**
 * Pictures of one size side by side, row below row.
 * @param rows pictures [1, 3, H, W], equally many in each row
 */
export function grid(rows: readonly (readonly Values[])[]): Values {
  const columns = rows[0]?.length ?? 0
  const first = rows[0]?.[0]
  if (!first) throw new LorikeetError('usage', 'a grid needs pictures')
  const [, channels, height, width] = checkImage('the picture', first, 3)
  const shape = [1, channels, height * rows.length, width * columns]
  const data = new Float32Array(first.data.length * rows.length * columns)
  rows.forEach((row, r) =>
    row.forEach((picture, c) => {
      if (picture.shape.join() !== first.shape.join() || row.length !== columns)
        throw new LorikeetError('usage', 'the pictures of a grid must have one size, and its rows one length')
      for (let line = 0; line < channels * height; line++) {
        const [channel, y] = [Math.floor(line / height), line % height]
        const to = ((channel * height * rows.length + r * height + y) * columns + c) * width
        data.set(picture.data.subarray(line * width, (line + 1) * width), to)
      }
    }),
  )
  return { data, shape }
}
