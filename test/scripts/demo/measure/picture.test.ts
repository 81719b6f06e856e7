import test from 'ava'
import {
  mirrored,
  type Picture,
  picturePng,
  psnr,
  readPicture,
  toPicture,
  toValues,
} from '../../../../scripts/demo/measure/picture'

const picture: Picture = { width: 3, height: 2, data: Uint8Array.from({ length: 18 }, (_, i) => i * 14) }

test('pictures survive the way to values and back, and to a PNG file and back', async (t) => {
  t.deepEqual(toPicture(toValues(picture)), picture)
  t.deepEqual(await readPicture(await picturePng(picture)), picture)
})

test('values outside -1 to 1 are cut off', (t) => {
  const { data } = toPicture({ data: Float32Array.of(-3, 7, 0, 0, 0, 0), shape: [1, 3, 1, 2] })
  t.deepEqual([...data], [0, 128, 128, 255, 128, 128])
})

test('mirroring turns rows round', (t) => {
  const { data } = mirrored(picture)
  t.deepEqual([...data.slice(0, 9)], [84, 98, 112, 42, 56, 70, 0, 14, 28])
  t.deepEqual(mirrored(mirrored(picture)), picture)
})

test('PSNR is 20 log10(255 / d) for a difference of d everywhere, and infinite for none', (t) => {
  const lighter = { ...picture, data: picture.data.map((value) => value + 5) }
  t.true(Math.abs(psnr(picture, { ...picture, data: picture.data.map((value) => value ^ 1) }) - 48.1308) < 1e-3)
  t.true(Math.abs(psnr(picture, lighter) - 20 * Math.log10(255 / 5)) < 1e-9)
  t.is(psnr(picture, picture), Infinity)
  t.throws(() => psnr(picture, { width: 2, height: 3, data: picture.data }), { message: /sizes/ })
})
