import test, { ExecutionContext } from 'ava'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { LorikeetError } from '../../lib/base/errors'
import { prepareDataset } from '../../lib/dataset/dataset'
import { noise, png, temporaryFolder, writeFiles } from './make-dataset'

async function mixed(t: ExecutionContext): Promise<string> {
  const root = temporaryFolder(t)
  writeFiles(root, {
    '10_ohwx person/square.png': await png(600, 600, '#111111'),
    '10_ohwx person/tall.png': await png(500, 900, '#222222'),
    '10_ohwx person/tall.txt': 'a tall one',
    '10_ohwx person/cut.jpg': (await noise(200, 200).jpeg().toBuffer()).subarray(0, 9000),
    '10_ohwx person/zero.png': '',
    '10_ohwx person/._square.png': 'x',
    'other/small.png': await png(100, 100, '#333333'),
  })
  return root
}

test('a dataset is scanned, inspected, placed and captioned', async (t) => {
  const root = await mixed(t)
  const progress: number[] = []
  const dataset = await prepareDataset({ image_dir: root }, { onProgress: (done, total) => progress.push(done, total) })
  t.deepEqual(
    dataset.images.map((image) => [image.name, image.bucket, image.caption.text]),
    [
      ['10_ohwx person/square.png', 1, 'ohwx person'],
      ['10_ohwx person/tall.png', 0, 'a tall one'],
      ['other/small.png', 1, ''],
    ],
  )
  t.deepEqual(dataset.buckets, [
    { size: { width: 384, height: 640 }, images: [1], count: 10 },
    { size: { width: 512, height: 512 }, images: [0, 2], count: 11 },
  ])
  t.deepEqual(
    dataset.skipped.map((s) => `${path.basename(s.path)}: ${s.reason}`).sort(),
    ['._square.png: hidden', 'cut.jpg: damaged', 'zero.png: empty file'],
  )
  t.is(dataset.cacheDir, path.join(root, '.lorikeet-cache'))
  t.deepEqual(progress.slice(-2), [5, 5])
})

test('images too small for bucket_no_upscale are skipped by name', async (t) => {
  const root = temporaryFolder(t)
  writeFiles(root, { 'thin.png': await png(200, 40), 'kept.png': await png(200, 130) })
  const dataset = await prepareDataset({ image_dir: root, bucket_no_upscale: true })
  t.deepEqual(dataset.buckets.map((bucket) => bucket.size), [{ width: 192, height: 128 }])
  t.is(dataset.images[0].placement.scale, 1)
  t.deepEqual(dataset.skipped.map((s) => [path.basename(s.path), s.reason]), [['thin.png', 'too small']])
  t.regex(dataset.skipped[0].fix ?? '', /bucket_no_upscale: false/)
})

test('without buckets all images share one size', async (t) => {
  const root = await mixed(t)
  const dataset = await prepareDataset({ image_dir: root, enable_bucket: false, resolution: [256, 128] })
  t.deepEqual(dataset.buckets.map((bucket) => [bucket.size, bucket.count]), [[{ width: 256, height: 128 }, 21]])
})

test('settings without effect are said', async (t) => {
  const root = await mixed(t)
  const { notes } = await prepareDataset({
    image_dir: root,
    bucket_no_upscale: true,
    min_bucket_reso: 256,
    keep_tokens: 1,
  })
  t.true(notes.includes('min_bucket_reso: no effect with bucket_no_upscale: buckets follow the images'))
  t.true(notes.some((note) => note.startsWith('keep_tokens: no effect')))
})

test('an empty dataset is an input error that says what was looked for and found', async (t) => {
  const root = temporaryFolder(t)
  const empty = await t.throwsAsync(prepareDataset({ image_dir: root }), { instanceOf: LorikeetError })
  t.is(empty?.kind, 'input')
  t.is(empty?.details.where, root)
  t.regex(empty?.message ?? '', /expected png, jpg.*received an empty folder/)
  writeFiles(root, { 'a.png': '', 'b.bmp': 'BM' })
  const unusable = await t.throwsAsync(prepareDataset({ image_dir: root }), { instanceOf: LorikeetError })
  t.regex(unusable?.message ?? '', /2 entries that cannot be used: b\.bmp \(unsupported format\), a\.png \(empty/)
})

test('wrong options are a usage error that names the key', async (t) => {
  const error = await t.throwsAsync(prepareDataset({ image_dir: 'x', batch_size: 0 }), { instanceOf: LorikeetError })
  t.is(error?.kind, 'usage')
  t.regex(error?.message ?? '', /batch_size/)
  const unknown = await t.throwsAsync(prepareDataset({ image_dir: 'x', batchsize: 2 } as never))
  t.regex(unknown?.message ?? '', /batchsize/)
  const none = await t.throwsAsync(prepareDataset({}), { instanceOf: LorikeetError })
  t.regex(none?.message ?? '', /either image_dir or subsets/)
})

test('the fingerprint changes with images, captions and settings, and with nothing else', async (t) => {
  const root = await mixed(t)
  const of = async (own: object = {}) => (await prepareDataset({ image_dir: root, ...own })).fingerprint
  const first = await of()
  t.is(await of({ cache_dir: '/elsewhere' }), first)
  t.not(await of({ batch_size: 2 }), first)
  t.not(await of({ shuffle_caption: true }), first)
  t.not(await of({ resolution: 256 }), first)
  const caption = path.join(root, '10_ohwx person/tall.txt')
  writeFileSync(caption, 'another caption')
  t.not(await of(), first)
  writeFileSync(caption, 'a tall one')
  t.is(await of(), first)
  writeFileSync(path.join(root, 'other/small.png'), await png(100, 100, '#444444'))
  t.not(await of(), first)
})
