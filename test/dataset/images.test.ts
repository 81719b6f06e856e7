import test from 'ava'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import sharp from 'sharp'
import { LorikeetError } from '../../lib/base/errors'
import { decodeForBucket, ImageInfo, inspectImage, isSkipped } from '../../lib/dataset/images'
import { drawn, noise, plain, png, temporaryFolder, writeFiles } from './make-dataset'

const same = { width: 16, height: 16 }
const placement = { bucket: same, resized: same, scale: 1, cropped: 0 }

/** The pixel at (x, y) as 0 to 255. */
function at(planes: Float32Array, x: number, y: number, size = same): number[] {
  return [0, 1, 2].map((c) => Math.round((planes[(c * size.height + y) * size.width + x] + 1) * 127.5))
}

async function saved(t: Parameters<typeof temporaryFolder>[0], image: sharp.Sharp | Buffer, name = 'a.png') {
  const file = path.join(temporaryFolder(t), name)
  writeFileSync(file, Buffer.isBuffer(image) ? image : await image.toBuffer())
  return file
}

async function factsOf(file: string): Promise<ImageInfo> {
  const result = await inspectImage(file)
  if (isSkipped(result)) throw new Error(`${result.reason}: ${result.detail}`)
  return result
}

async function reasonFor(file: string): Promise<string> {
  const result = await inspectImage(file)
  return isSkipped(result) ? result.reason : 'used'
}

test('black is -1, white is 1, and channels come as planes', async (t) => {
  const corner = drawn(16, 16, (x, y) => (y === 0 ? [255, 0, 0] : x === 15 ? [0, 255, 0] : [0, 0, 0]))
  const file = await saved(t, corner.png())
  const planes = await decodeForBucket({ path: file, placement, flip: false })
  t.is(planes.length, 3 * 16 * 16)
  t.is(planes[0], 1)
  t.is(planes[256], -1)
  t.deepEqual(at(planes, 15, 0), [255, 0, 0])
  t.deepEqual(at(planes, 15, 8), [0, 255, 0])
})

test('a flip mirrors left and right after the crop', async (t) => {
  const file = await saved(t, drawn(19, 16, (x) => [x * 10, 0, 0]).png())
  const wide = { bucket: same, resized: { width: 19, height: 16 }, scale: 1, cropped: 3 / 19 }
  const normal = await decodeForBucket({ path: file, placement: wide, flip: false })
  const flipped = await decodeForBucket({ path: file, placement: wide, flip: true })
  t.deepEqual(at(normal, 0, 3), [10, 0, 0], 'of three surplus columns one is cut on the left')
  for (let x = 0; x < 16; x++) t.deepEqual(at(flipped, x, 3), at(normal, 15 - x, 3))
})

test('EXIF rotation is applied, to the size and to the pixels', async (t) => {
  const left = drawn(24, 16, (x) => (x < 12 ? [255, 0, 0] : [0, 0, 255]))
  const file = await saved(t, left.withMetadata({ orientation: 6 }).png())
  const facts = await factsOf(file)
  t.deepEqual(facts.size, { width: 16, height: 24 })
  t.deepEqual(facts.traits, ['rotated by EXIF'])
  const tall = { width: 16, height: 24 }
  const upright = { ...placement, bucket: tall, resized: tall }
  const planes = await decodeForBucket({ path: file, placement: upright, flip: false })
  t.deepEqual(at(planes, 8, 2, tall), [255, 0, 0], 'orientation 6 turns the left side to the top')
  t.deepEqual(at(planes, 8, 21, tall), [0, 0, 255])
})

test('an EXIF-rotated JPEG reads upright', async (t) => {
  const file = await saved(t, plain(40, 24).withMetadata({ orientation: 8 }).jpeg(), 'a.jpg')
  t.deepEqual((await factsOf(file)).size, { width: 24, height: 40 })
})

test('transparent pixels show the background colour', async (t) => {
  const clear = sharp({ create: { width: 16, height: 16, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 0 } } })
  const file = await saved(t, clear.png())
  t.deepEqual((await factsOf(file)).traits, ['transparent'])
  t.deepEqual(at(await decodeForBucket({ path: file, placement, flip: false }), 4, 4), [255, 255, 255])
  const green = await decodeForBucket({ path: file, placement, flip: false, background: '#00ff00' })
  t.deepEqual(at(green, 4, 4), [0, 255, 0])
})

test('an alpha channel without transparent pixels is not counted as transparent', async (t) => {
  const file = await saved(t, plain(16, 16).ensureAlpha().png())
  t.deepEqual((await factsOf(file)).traits, [])
})

test('greyscale becomes RGB', async (t) => {
  const file = await saved(t, plain(16, 16, '#646464').toColourspace('b-w').png())
  t.deepEqual((await factsOf(file)).traits, ['greyscale'])
  t.deepEqual(at(await decodeForBucket({ path: file, placement, flip: false }), 4, 4), [100, 100, 100])
})

test('16 bits a channel become 8', async (t) => {
  const file = await saved(t, plain(16, 16, '#c86432').toColourspace('rgb16').png())
  t.is((await sharp(file).metadata()).depth, 'ushort')
  t.deepEqual((await factsOf(file)).traits, ['16 bits a channel'])
  const pixel = at(await decodeForBucket({ path: file, placement, flip: false }), 4, 4)
  pixel.forEach((value, c) => t.true(Math.abs(value - [200, 100, 50][c]) <= 1, String(pixel)))
})

test('CMYK becomes RGB', async (t) => {
  const file = await saved(t, plain(16, 16, '#ffffff').toColourspace('cmyk').jpeg(), 'a.jpg')
  t.deepEqual((await factsOf(file)).traits, ['CMYK'])
  const pixel = at(await decodeForBucket({ path: file, placement, flip: false }), 4, 4)
  pixel.forEach((value) => t.true(value > 245, String(pixel)))
})

test('a colour profile is converted to sRGB', async (t) => {
  const file = await saved(t, plain(16, 16, '#c84020').withIccProfile('p3').png())
  const stored = await sharp(file, { ignoreIcc: true }).raw().toBuffer()
  t.notDeepEqual([...stored.subarray(0, 3)], [200, 64, 32], 'the file holds Display P3 numbers')
  t.deepEqual((await factsOf(file)).traits, ['colour profile'])
  const pixel = at(await decodeForBucket({ path: file, placement, flip: false }), 4, 4)
  pixel.forEach((value, c) => t.true(Math.abs(value - [200, 64, 32][c]) <= 1, String(pixel)))
})

test('of an animation the first frame is read', async (t) => {
  const frames = Buffer.concat([0, 120, 240].map((value) => Buffer.alloc(16 * 16 * 3, value)))
  const gif = sharp(frames, { raw: { width: 16, height: 48, channels: 3, pageHeight: 16 } }).gif()
  const file = await saved(t, gif, 'a.gif')
  const facts = await factsOf(file)
  t.deepEqual(facts.size, same)
  t.deepEqual(facts.traits, ['several frames'])
  t.deepEqual(at(await decodeForBucket({ path: file, placement, flip: false }), 4, 4), [0, 0, 0])
})

for (const format of ['jpeg', 'png', 'webp', 'tiff', 'avif', 'gif'] as const) {
  test(`reads ${format}, and names it as damaged when it is cut`, async (t) => {
    const bytes = await noise(96, 64).toFormat(format).toBuffer()
    t.deepEqual((await factsOf(await saved(t, bytes))).size, { width: 96, height: 64 })
    for (const part of [0.3, 0.9]) {
      const file = await saved(t, bytes.subarray(0, Math.floor(bytes.length * part)))
      t.is(await reasonFor(file), 'damaged', `the first ${part * 100} %`)
    }
  })
}

test('files that are no usable image are named with a reason', async (t) => {
  const root = temporaryFolder(t)
  writeFiles(root, {
    'empty.png': '',
    'text.png': 'hello, I am a text',
    'svg.png': '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"></svg>',
    'dot.png': await png(64, 4),
  })
  t.is(await reasonFor(path.join(root, 'empty.png')), 'empty file')
  t.is(await reasonFor(path.join(root, 'text.png')), 'damaged')
  t.is(await reasonFor(path.join(root, 'svg.png')), 'unsupported format')
  t.is(await reasonFor(path.join(root, 'dot.png')), 'too small')
  t.is(await reasonFor(path.join(root, 'gone.png')), 'unreadable')
})

test('shrinking averages: it does not pick single pixels', async (t) => {
  const file = await saved(t, drawn(128, 128, (x, y) => ((x + y) % 2 ? [255, 255, 255] : [0, 0, 0])).png())
  const planes = await decodeForBucket({ path: file, placement: { ...placement, scale: 1 / 8 }, flip: false })
  t.true(planes.every((value) => Math.abs(value) < 0.1))
})

test('a file that changed since it was inspected is refused by name', async (t) => {
  const file = await saved(t, plain(16, 16).png())
  const { contentHash } = await factsOf(file)
  const before = readFileSync(file)
  writeFileSync(file, await png(16, 16, '#000000'))
  const error = await t.throwsAsync(decodeForBucket({ path: file, placement, flip: false, contentHash }), {
    instanceOf: LorikeetError,
  })
  t.is(error?.details.where, file)
  writeFileSync(file, before)
  await t.notThrowsAsync(decodeForBucket({ path: file, placement, flip: false, contentHash }))
})
