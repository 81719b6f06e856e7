import test from 'ava'
import * as fs from 'node:fs'
import * as path from 'node:path'
import * as zlib from 'node:zlib'
import sharp from 'sharp'
import { LorikeetError } from '../../lib/base/errors'
import { encodePng, grid, readPngSettings, writePng } from '../../lib/generate/png'
import { insertText, readTexts } from '../../lib/generate/png-text'
import type { GenerationSettings } from '../../lib/generate/settings'
import { temporaryFolder } from '../helpers/safetensors-bytes'

const settings: GenerationSettings = {
  prompt: 'a café',
  negativePrompt: '',
  steps: 20,
  sampler: 'ddim',
  cfg: 7,
  seed: 1,
  width: 16,
  height: 8,
  clipSkip: 1,
  model: 'tiny',
  loras: [],
}

/** [1, 3, 8, 16] */
function picture(value: (channel: number, y: number, x: number) => number) {
  const data = Float32Array.from({ length: 3 * 8 * 16 }, (_, i) => value(Math.floor(i / 128), Math.floor(i / 16) % 8, i % 16))
  return { data, shape: [1, 3, 8, 16] }
}

test('pixels are rounded to 8 bits and cut off outside of [-1, 1]', async (t) => {
  const values = [-3, -1, -0.5, 0.001, 0.5, 0.999, 1, 7]
  const expected = [0, 0, 64, 128, 191, 255, 255, 255]
  const png = await encodePng(picture((channel, y, x) => (channel === 1 && y === 2 ? (values[x] ?? 1) : -1)))
  const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true })
  t.like(info, { width: 16, height: 8, channels: 3 })
  t.deepEqual([...data.subarray(2 * 16 * 3, 3 * 16 * 3)].filter((_, i) => i % 3 === 1).slice(0, 8), expected)
  t.is(Math.max(...data.subarray(0, 2 * 16 * 3)), 0)
})

test('a written picture carries its settings, and other readers see them too', async (t) => {
  const file = path.join(temporaryFolder(), 'out.png')
  await writePng(file, picture(() => 0), settings)
  const read = readPngSettings(file)
  t.like(read, settings)
  const { comments } = await sharp(file).metadata()
  t.deepEqual(comments, [{ keyword: 'parameters', text: read?.text }])
  t.deepEqual(await sharp(file).raw().toBuffer(), await sharp(await encodePng(picture(() => 0))).raw().toBuffer())
  t.deepEqual(fs.readdirSync(path.dirname(file)), ['out.png'])
})

test('a picture without settings has none', async (t) => {
  const file = path.join(temporaryFolder(), 'out.png')
  await writePng(file, picture(() => 0))
  t.is(readPngSettings(file), undefined)
})

test('text beyond ASCII becomes an international chunk', async (t) => {
  const png = await encodePng(picture(() => 0))
  for (const [text, type] of [['a cat', 'tEXt'], ['ein Café', 'iTXt'], ['猫の写真 🐈', 'iTXt']] as const) {
    const marked = insertText(png, 'parameters', text)
    t.is(marked.toString('latin1', 37, 41), type)
    t.is(readTexts(marked, 'x').get('parameters'), text)
    t.is((await sharp(marked).metadata()).width, 16)
  }
})

test('compressed texts of other tools are read', async (t) => {
  const png = await encodePng(picture(() => 0))
  const add = (type: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
    const frame = Buffer.alloc(8)
    frame.writeUInt32BE(data.length, 0)
    frame.writeUInt32BE(zlib.crc32(body), 4)
    return Buffer.concat([png.subarray(0, 33), frame.subarray(0, 4), body, frame.subarray(4), png.subarray(33)])
  }
  const packed = zlib.deflateSync(Buffer.from('Steps: 3'))
  t.is(readTexts(add('zTXt', Buffer.concat([Buffer.from('parameters\0\0'), packed])), 'x').get('parameters'), 'Steps: 3')
  const international = Buffer.concat([Buffer.from('parameters\0\x01\0en\0Parameter\0'), packed])
  t.is(readTexts(add('iTXt', international), 'x').get('parameters'), 'Steps: 3')
  t.is(readTexts(add('zTXt', Buffer.from('parameters\0\0broken')), 'x').get('parameters'), undefined)
})

test('a damaged file is refused with its name', async (t) => {
  const png = insertText(await encodePng(picture(() => 0)), 'parameters', 'Steps: 3')
  const broken: [Buffer, RegExp][] = [
    [Buffer.from('GIF89a'), /no PNG file/],
    [png.subarray(0, 46), /ends inside a chunk/],
    [png.subarray(0, png.length - 12), /ends too early/],
    [Buffer.from(png.map((byte, i) => (i === 45 ? byte ^ 1 : byte))), /damaged "tEXt" chunk/],
    [Buffer.from(png.map((byte, i) => (i === 33 ? 0xff : byte))), /ends inside a chunk/],
  ]
  for (const [bytes, message] of broken) {
    const error = t.throws(() => readTexts(bytes, 'a.png'), { instanceOf: LorikeetError, message })
    t.is(error.kind, 'input')
    t.is(error.details.where, 'a.png')
  }
})

test('a picture that cannot be written leaves the old one', async (t) => {
  const error = await t.throwsAsync(writePng(path.join(temporaryFolder(), 'nowhere', 'a.png'), picture(() => 0)), {
    instanceOf: LorikeetError,
  })
  t.is(error?.kind, 'failed')
})

test('a grid puts pictures side by side and rows below each other', (t) => {
  const one = (offset: number) => ({ data: Float32Array.from({ length: 12 }, (_, i) => offset + i), shape: [1, 3, 2, 2] })
  const { data, shape } = grid([
    [one(0), one(100)],
    [one(200), one(300)],
  ])
  t.deepEqual(shape, [1, 3, 4, 4])
  t.deepEqual([...data.subarray(16, 32)], [4, 5, 104, 105, 6, 7, 106, 107, 204, 205, 304, 305, 206, 207, 306, 307])
  t.throws(() => grid([[one(0)], [one(0), one(1)]]), { instanceOf: LorikeetError })
  t.throws(() => grid([[one(0), { data: new Float32Array(3), shape: [1, 3, 1, 1] }]]), { instanceOf: LorikeetError })
})
