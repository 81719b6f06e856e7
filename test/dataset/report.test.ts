import test, { ExecutionContext } from 'ava'
import { planBatches } from '../../lib/dataset/batches'
import { prepareDataset } from '../../lib/dataset/dataset'
import { DatasetInput } from '../../lib/dataset/options'
import { renderReport } from '../../lib/dataset/render'
import { reportDataset, ReportOptions } from '../../lib/dataset/report'
import { plain, png, temporaryFolder, writeFiles } from './make-dataset'

type Files = Record<string, string | Buffer>

type Run = ReportOptions & { accumulation?: number }

async function report(t: ExecutionContext, files: Files, own: DatasetInput = {}, run: Run = {}) {
  const root = temporaryFolder(t)
  writeFiles(root, files)
  const dataset = await prepareDataset({ image_dir: root, resolution: 64, ...own })
  const { accumulation, ...options } = run
  const plan = planBatches(dataset, { seed: 1, accumulation })
  return reportDataset(dataset, plan, options.steps === undefined ? { epochs: 1, ...options } : options)
}

async function images(folder: string, count: number, width = 64, height = 64): Promise<Files> {
  const files: Files = {}
  for (let i = 0; i < count; i++) files[`${folder}/${i}.png`] = await png(width, height, { r: i, g: width, b: height })
  return files
}

function lastLine(text: string): string | undefined {
  return text.split('\n').at(-1)
}

test('the length is the sum that people do in their heads', async (t) => {
  const made = await report(t, await images('10_ohwx person', 40), { batch_size: 2 }, { epochs: 8 })
  t.deepEqual(made.length, {
    steps: 1600,
    epochs: 8,
    stepsPerEpoch: 200,
    batchesPerEpoch: 200,
    imagesSeen: 3200,
    accumulation: 1,
  })
  t.is(
    lastLine(renderReport(made)),
    'Length: 40 images x 10 repeats / batch 2 x 8 epochs = 1,600 steps (3,200 images seen)',
  )
})

test('partial batches and accumulation are in the sum', async (t) => {
  const files = { ...(await images('3_a', 3)), ...(await images('1_b', 2, 128, 64)) }
  const made = await report(t, files, { batch_size: 2 }, { epochs: 2, accumulation: 2 })
  t.is(made.length.steps, 6, '9 and 2 images in batches of 2 are 6 batches, 3 steps an epoch')
  t.is(made.length.imagesSeen, 22)
  const length = lastLine(renderReport(made)) ?? ''
  t.regex(length, /11 images an epoch \(5 files.*batch 2 \/ accumulation 2 x 2 epochs = 6 steps/)
  const odd = await report(t, await images('1_a', 3), { batch_size: 2 })
  t.regex(lastLine(renderReport(odd)) ?? '', /partial batches/)
})

test('a length in steps counts the images of the epoch it ends in', async (t) => {
  const made = await report(t, await images('1_a', 5), { batch_size: 2 }, { steps: 4 })
  t.true(made.length.imagesSeen === 6 || made.length.imagesSeen === 7, 'a whole epoch of 5 and a batch of 1 or 2')
  t.is(made.length.epochs, 4 / 3)
})

test('missing captions are counted with what is used instead', async (t) => {
  const files = await images('5_sks dog', 5)
  const text = renderReport(await report(t, { ...files, '5_sks dog/0.txt': 'a dog', '5_sks dog/1.txt': '' }))
  t.true(text.includes('Captions: 3 of 5 images have no caption file: 3 use the class tokens'))
  t.true(text.includes('1 caption file is empty'))
  const all = Object.fromEntries(Object.keys(files).map((name) => [name.replace('.png', '.txt'), 'x']))
  t.true(renderReport(await report(t, { ...files, ...all })).includes('Captions: a file for each of 5 images'))
})

test('everything shortened, changed or left out is named', async (t) => {
  const files = {
    ...(await images('1_a', 1, 32, 32)),
    '1_a/long.png': await png(700, 64),
    '1_a/long.txt': 'first\nsecond',
    '1_a/long.caption': 'loses',
    '1_a/twin.png': await png(700, 64),
    '1_a/turned.jpg': await plain(64, 80).withMetadata({ orientation: 6 }).jpeg().toBuffer(),
    '1_a/zero.png': '',
    '1_a/._zero.png': '',
    '1_a/old.bmp': 'BM',
  }
  const tokens = { countTokens: (caption: string) => caption.length, maxTokens: 4 }
  const made = await report(t, files, { min_bucket_reso: 64, max_bucket_reso: 128 }, tokens)
  t.deepEqual(made.enlarged, [{ name: '1_a/0.png', scale: 2 }])
  t.deepEqual(made.cropped.map(({ name }) => name), ['1_a/long.png', '1_a/twin.png'])
  t.deepEqual(made.duplicates, [{ name: '1_a/twin.png', of: '1_a/long.png' }])
  t.deepEqual(made.captions.tooLong, ['1_a/long.png'])
  const text = renderReport(made)
  for (const expected of [
    'Converted: 1 image turned upright (EXIF)',
    'Enlarged (1): 1_a/0.png 2.00x',
    'Cropped by more than a quarter (2): 1_a/long.png 91 %',
    'Twice the same file (1): 1_a/twin.png = 1_a/long.png',
    '1 only the first line is used: 1_a/long.png',
    '1 not read, as another caption file goes before: 1_a/long.caption',
    '1 longer than the text encoder reads, the end is cut: 1_a/long.png',
    'Skipped: 3 files or folders',
    '1 hidden: 1_a/._zero.png',
    '1 unsupported format; convert it to PNG: 1_a/old.bmp (.bmp)',
    '1 empty file; copy it again from the source: 1_a/zero.png (0 bytes)',
  ]) {
    t.true(text.includes(expected), `${expected}\n\n${text}`)
  }
})

test('five captions are shown as they are trained', async (t) => {
  const made = await report(t, await images('1_person', 9), { trigger_word: 'ohwx', batch_size: 4 })
  t.is(made.examples.length, 5)
  t.is(new Set(made.examples.map((example) => example.name)).size, 5)
  t.true(made.examples.every((example) => example.caption === 'ohwx, person'))
})

test('buckets are shown with images, repeats and batches', async (t) => {
  const files = { ...(await images('10_a', 2)), ...(await images('1_b', 3, 256, 64)) }
  const made = await report(t, files, { batch_size: 4, bucket_reso_steps: 32 })
  t.deepEqual(made.buckets, [
    { size: '64x64', images: 2, imagesPerEpoch: 20, batchesPerEpoch: 5 },
    { size: '128x32', images: 3, imagesPerEpoch: 3, batchesPerEpoch: 1 },
  ])
  const [first, second] = renderReport(made).split('\n').slice(4)
  t.is(first, '  64x64   2 images  20 an epoch  5 batches')
  t.is(second, '  128x32  3 images  3 an epoch   1 batch')
})

test('a report without surprises is short', async (t) => {
  const text = renderReport(await report(t, { ...(await images('2_x', 1)), '2_x/0.txt': 'a thing' }))
  t.is(
    text,
    [
      'Dataset: 1 image, 2 an epoch with repeats',
      '  2_x  1 image  x 2 repeats',
      'Buckets (width x height):',
      '  64x64  1 image  2 an epoch  2 batches',
      'Captions: a file for the image',
      'Skipped: nothing',
      'Captions as trained:',
      '  2_x/0.png: "a thing"',
      'Length: 1 image x 2 repeats / batch 1 x 1 epoch = 2 steps (2 images seen)',
    ].join('\n'),
  )
})
