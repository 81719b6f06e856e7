import test from 'ava'
import { symlinkSync } from 'node:fs'
import path from 'node:path'
import { LorikeetError } from '../../lib/base/errors'
import { datasetSchema, SubsetOptions, subsetsOf } from '../../lib/dataset/options'
import { parseFolderName, Scan, scanDataset, scanSubsets } from '../../lib/dataset/scan'
import { temporaryFolder, writeFiles } from './make-dataset'

function settings(image_dir: string, own: object = {}): SubsetOptions {
  return subsetsOf(datasetSchema.parse({ image_dir, ...own }))[0]
}

function summary(scan: Scan, root: string) {
  return {
    folders: scan.folders.map((f) => `${f.name}: ${f.repeats} x ${f.options.class_tokens ?? '-'}`),
    images: scan.images.map((image) => path.relative(root, image.path)),
    skipped: scan.skipped.map((s) => `${path.relative(root, s.path)}: ${s.reason}`),
  }
}

test('numbered folders give repeats and class tokens', async (t) => {
  const root = temporaryFolder(t)
  writeFiles(root, {
    '10_ohwx person/b.png': '',
    '10_ohwx person/a.JPG': '',
    '10_ohwx person/a.txt': '',
    '3_dog_on_grass/c.webp': '',
    '5/d.jpeg': '',
  })
  t.deepEqual(summary(await scanDataset(root, settings(root)), root), {
    folders: ['10_ohwx person: 10 x ohwx person', '3_dog_on_grass: 3 x dog_on_grass', '5: 5 x -'],
    images: ['10_ohwx person/a.JPG', '10_ohwx person/b.png', '3_dog_on_grass/c.webp', '5/d.jpeg'],
    skipped: [],
  })
})

test('a flat folder is a dataset, with repeats 1, and that is said', async (t) => {
  const root = path.join(temporaryFolder(t), 'cats')
  writeFiles(root, { 'a.png': '', 'b.avif': '', 'c.tiff': '', 'd.gif': '' })
  const scan = await scanDataset(root, settings(root))
  t.deepEqual(summary(scan, root), {
    folders: ['cats: 1 x -'],
    images: ['a.png', 'b.avif', 'c.tiff', 'd.gif'],
    skipped: [],
  })
  t.regex(scan.notes[0], /folder cats: no number in its name.*repeats 1/)
})

test('a numbered folder may be given itself', async (t) => {
  const root = path.join(temporaryFolder(t), '7_sks toy')
  writeFiles(root, { 'a.png': '' })
  const scan = await scanDataset(root, settings(root))
  t.deepEqual(summary(scan, root).folders, ['7_sks toy: 7 x sks toy'])
  t.deepEqual(scan.notes, [])
})

test('folders without a number are used with repeats 1, and that is said', async (t) => {
  const root = temporaryFolder(t)
  writeFiles(root, { 'cats/a.png': '', '2_dogs/b.png': '' })
  const scan = await scanDataset(root, settings(root))
  t.deepEqual(summary(scan, root).folders, ['2_dogs: 2 x dogs', 'cats: 1 x -'])
  t.is(scan.notes.length, 1)
  t.regex(scan.notes[0], /folder cats/)
})

test('settings win over the folder name, and that is said', async (t) => {
  const root = temporaryFolder(t)
  writeFiles(root, { '10_ohwx person/a.png': '' })
  const scan = await scanDataset(root, settings(root, { num_repeats: 4, class_tokens: 'a man' }))
  t.deepEqual(summary(scan, root).folders, ['10_ohwx person: 4 x a man'])
  t.regex(scan.notes[0], /num_repeats 4 is used instead of the 10/)
})

test('a year in front of a folder name is noticed', async (t) => {
  const root = temporaryFolder(t)
  writeFiles(root, { '2024_holiday/a.png': '' })
  const scan = await scanDataset(root, settings(root))
  t.is(scan.folders[0].repeats, 2024)
  t.regex(scan.notes[0], /2024 repeats.*year/)
})

test('every file that is not used is named with its reason', async (t) => {
  const root = temporaryFolder(t)
  writeFiles(root, {
    'a.png': '',
    '._a.png': '',
    '.DS_Store': '',
    'b.bmp': '',
    'c.heic': '',
    'lost.txt': '',
    'a.png.txt': '',
    'Thumbs.db': '',
    '0_off/x.png': '',
    '2_deep/y.png': '',
    '2_deep/more/z.png': '',
    '.git/config': '',
    '.lorikeet-cache/latents/k.bin': '',
  })
  symlinkSync(path.join(root, 'nowhere.png'), path.join(root, 'broken.png'))
  const scan = await scanDataset(root, settings(root))
  t.deepEqual(summary(scan, root).images, ['a.png', '2_deep/y.png'])
  t.deepEqual(summary(scan, root).skipped.sort(), [
    '.DS_Store: hidden',
    '._a.png: hidden',
    '.git: hidden',
    '0_off: repeats below 1',
    '2_deep/more: nested folder',
    'Thumbs.db: not an image',
    'a.png.txt: caption without an image',
    'b.bmp: unsupported format',
    'broken.png: unreadable',
    'c.heic: unsupported format',
    'lost.txt: caption without an image',
  ])
  const fixOf = (name: string) => scan.skipped.find((s) => s.path.endsWith(name))?.fix
  t.is(fixOf('b.bmp'), 'convert it to PNG')
  t.is(fixOf('a.png.txt'), 'rename it to a.txt')
  t.regex(fixOf('more') ?? '', /one level deep/)
})

test('an own caption extension is no stray file', async (t) => {
  const root = temporaryFolder(t)
  writeFiles(root, { 'a.png': '', 'a.tags': '', 'b.png': '' })
  const skipped = async (own: object) => summary(await scanDataset(root, settings(root, own)), root).skipped
  t.deepEqual(await skipped({ caption_extension: 'tags' }), [])
  t.deepEqual(await skipped({}), ['a.tags: not an image'])
})

test('several entries keep their own settings', async (t) => {
  const root = temporaryFolder(t)
  writeFiles(root, { 'one/a.png': '', 'two/b.png': '' })
  const options = datasetSchema.parse({
    trigger_word: 'sks',
    shuffle_caption: true,
    subsets: [
      { image_dir: path.join(root, 'one'), num_repeats: 3 },
      { image_dir: path.join(root, 'two'), trigger_word: 'zwx', shuffle_caption: false },
    ],
  })
  const scan = await scanSubsets(subsetsOf(options))
  t.deepEqual(scan.images.map((image) => image.folder), [0, 1])
  t.deepEqual(
    scan.folders.map((f) => [f.repeats, f.options.trigger_word, f.options.shuffle_caption]),
    [[3, 'sks', true], [1, 'zwx', false]],
  )
})

test('a missing folder is an input error that names it', async (t) => {
  const root = path.join(temporaryFolder(t), 'nowhere')
  const error = await t.throwsAsync(scanDataset(root, settings(root)), { instanceOf: LorikeetError })
  t.is(error?.kind, 'input')
  t.is(error?.details.where, root)
})

test('folder names are read as sd-scripts reads them', (t) => {
  t.deepEqual(parseFolderName('10_ohwx person'), { repeats: 10, classTokens: 'ohwx person' })
  t.deepEqual(parseFolderName('1_a_b'), { repeats: 1, classTokens: 'a_b' })
  t.deepEqual(parseFolderName('4'), { repeats: 4, classTokens: '' })
  t.deepEqual(parseFolderName('-2_off'), { repeats: -2, classTokens: 'off' })
  t.is(parseFolderName('10 ohwx person'), undefined)
  t.is(parseFolderName('ohwx_10'), undefined)
})
