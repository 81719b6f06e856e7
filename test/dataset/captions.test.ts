import test, { ExecutionContext } from 'ava'
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { LorikeetError } from '../../lib/base/errors'
import { CaptionOptions, captionVariants, containsPhrase } from '../../lib/dataset/captions'
import { processCaption, readCaption } from '../../lib/dataset/captions'
import { datasetSchema, subsetsOf } from '../../lib/dataset/options'
import { randomStream } from '../../lib/dataset/random'
import { temporaryFolder, writeFiles } from './make-dataset'

function settings(own: object = {}): CaptionOptions {
  return subsetsOf(datasetSchema.parse({ image_dir: 'x', ...own }))[0]
}

async function read(t: ExecutionContext, files: Record<string, string | Buffer>, own: object = {}) {
  const root = temporaryFolder(t)
  writeFiles(root, { ...files, 'a.png': '' })
  return readCaption(path.join(root, 'a.png'), readdirSync(root), settings(own))
}

const tags = 'one, two, three, four, five, six'
const numbers = (seed: number, item: number) => randomStream({ seed, purpose: 'caption', epoch: 0, item })
const never = () => {
  throw new Error('no random number is needed')
}

test('.txt is read before .caption, and the loser is named', async (t) => {
  const both = await read(t, { 'a.txt': 'from txt', 'a.caption': 'from caption' })
  t.is(both.text, 'from txt')
  t.deepEqual(both.ignoredFiles, ['a.caption'])
  t.is((await read(t, { 'a.caption': 'from caption' })).text, 'from caption')
})

test('caption_extension decides alone, with or without its dot', async (t) => {
  const files = { 'a.txt': 'from txt', 'a.tags': 'from tags' }
  for (const caption_extension of ['.tags', 'tags']) {
    const caption = await read(t, files, { caption_extension })
    t.is(caption.text, 'from tags')
    t.deepEqual(caption.ignoredFiles, ['a.txt'])
  }
  const other = await read(t, { 'a.txt': 'from txt' }, { caption_extension: '.tags' })
  t.deepEqual([other.text, other.source, other.ignoredFiles], ['', 'none', ['a.txt']])
})

test('the first line with text is the caption, and further ones are counted', async (t) => {
  const caption = await read(t, { 'a.txt': '\n  a cat, sitting \r\nsecond line\n\nthird\n' })
  t.is(caption.text, 'a cat, sitting')
  t.is(caption.ignoredLines, 2)
  t.is((await read(t, { 'a.txt': 'one line\n' })).ignoredLines, 0)
})

test('byte order marks are taken off, UTF-16 is understood', async (t) => {
  const utf16 = Buffer.from('\ufeffein Käse', 'utf16le')
  t.is((await read(t, { 'a.txt': '\ufeffein Käse' })).text, 'ein Käse')
  t.is((await read(t, { 'a.txt': utf16 })).text, 'ein Käse')
  t.is((await read(t, { 'a.txt': Buffer.from(utf16).swap16() })).text, 'ein Käse')
})

test('a caption that is not text is refused by name', async (t) => {
  for (const bytes of [Buffer.from([0x4b, 0xe4, 0x73, 0x65]), Buffer.from('a\0b')]) {
    const error = await t.throwsAsync(read(t, { 'a.txt': bytes }), { instanceOf: LorikeetError })
    t.is(error?.kind, 'input')
    t.regex(error?.details.where ?? '', /a\.txt$/)
    t.is(error?.details.expected, 'UTF-8')
  }
})

test('without a caption file come class tokens, then the trigger word, then nothing', async (t) => {
  const from = async (own: object) => {
    const { text, source } = await read(t, {}, own)
    return [text, source]
  }
  t.deepEqual(await from({ class_tokens: 'ohwx person', trigger_word: 'ohwx' }), ['ohwx person', 'class tokens'])
  t.deepEqual(await from({ trigger_word: 'ohwx' }), ['ohwx', 'trigger word'])
  t.deepEqual(await from({}), ['', 'none'])
})

test('an empty caption file is an empty caption', async (t) => {
  const caption = await read(t, { 'a.txt': ' \n' }, { class_tokens: 'ohwx person' })
  t.deepEqual([caption.text, caption.source], ['', 'file'])
})

test('upper-case caption extensions are found, other images\' captions are not', async (t) => {
  t.is((await read(t, { 'a.TXT': 'loud' })).text, 'loud')
  t.is((await read(t, { 'ab.txt': 'b', 'A.txt': 'upper' })).source, 'none')
})

test('a caption passes unchanged unless something is asked for', (t) => {
  t.is(processCaption('a,b,  c', settings({ keep_tokens: 1 }), never), 'a,b,  c')
})

test('the trigger word comes first, but not twice', (t) => {
  const own = settings({ trigger_word: 'ohwx person' })
  t.is(processCaption('a man in a car', own, never), 'ohwx person, a man in a car')
  t.is(processCaption('photo of an OHWX  Person', own, never), 'photo of an OHWX  Person')
  t.is(processCaption('ohwx personal', own, never), 'ohwx person, ohwx personal')
  t.is(processCaption('', own, never), 'ohwx person')
})

test('phrases are found as whole words, whatever signs they hold', (t) => {
  t.true(containsPhrase('a (c++) b', 'c++'))
  t.true(containsPhrase('ÜBER alles', 'über'))
  t.false(containsPhrase('concatenate', 'cat'))
})

test('shuffling keeps all tags, and the first ones in place', (t) => {
  const own = settings({ shuffle_caption: true, keep_tokens: 2 })
  const seen = new Set<string>()
  for (let i = 0; i < 50; i++) {
    const result = processCaption(tags, own, numbers(1, i)).split(', ')
    t.deepEqual(result.slice(0, 2), ['one', 'two'])
    t.deepEqual([...result].sort(), tags.split(', ').sort())
    seen.add(result.join())
  }
  t.true(seen.size > 10, 'orders vary')
})

test('the same random numbers give the same caption', (t) => {
  const own = settings({ shuffle_caption: true, caption_tag_dropout_rate: 0.3, caption_dropout_rate: 0.1 })
  for (let i = 0; i < 20; i++) {
    t.is(processCaption(tags, own, numbers(9, i)), processCaption(tags, own, numbers(9, i)))
  }
})

test('keep_tokens_separator fixes the tags before it and behind a second one', (t) => {
  const own = settings({ shuffle_caption: true, keep_tokens_separator: '|||' })
  for (let i = 0; i < 20; i++) {
    const result = processCaption('a, b ||| c, d, e ||| f', own, numbers(1, i)).split(', ')
    t.deepEqual([...result.slice(0, 2), result.at(-1)], ['a', 'b', 'f'])
    t.deepEqual(result.slice(2, 5).sort(), ['c', 'd', 'e'])
  }
  const still = settings({ keep_tokens_separator: '|||' })
  t.is(processCaption('a, b ||| c', still, never), 'a, b, c', 'the mark is never trained')
})

test('tags are dropped at the rate asked for, kept tags and the trigger word never', (t) => {
  const own = settings({ caption_tag_dropout_rate: 0.5, keep_tokens: 1, trigger_word: 'four' })
  let left = 0
  for (let i = 0; i < 1000; i++) {
    const result = processCaption(tags, own, numbers(3, i)).split(', ')
    t.is(result[0], 'one')
    t.true(result.includes('four'))
    left += result.length - 2
  }
  t.true(Math.abs(left / 4000 - 0.5) < 0.04, `${left} of 4000 kept`)
})

test('caption dropout empties the whole caption at its rate', (t) => {
  const own = settings({ caption_dropout_rate: 0.25, trigger_word: 'ohwx' })
  let empty = 0
  for (let i = 0; i < 2000; i++) if (processCaption(tags, own, numbers(5, i)) === '') empty++
  t.true(Math.abs(empty / 2000 - 0.25) < 0.04, `${empty} of 2000`)
})

test('every n-th epoch is trained without captions', (t) => {
  const own = settings({ caption_dropout_every_n_epochs: 3 })
  t.deepEqual([0, 1, 2, 3, 4, 5].map((epoch) => processCaption('x', own, never, epoch)), ['x', 'x', '', 'x', 'x', ''])
})

test('prefix, suffix and secondary separator', (t) => {
  const own = settings({ caption_prefix: 'art by me,', caption_suffix: 'masterpiece', secondary_separator: ';;' })
  t.is(processCaption('a, b;;c', own, never), 'art by me, a, b,c masterpiece')
})

test('another separator splits and joins', (t) => {
  const own = settings({ caption_separator: '.', caption_tag_dropout_rate: 1, keep_tokens: 2, trigger_word: 'w' })
  t.is(processCaption('one. two. three', own, () => 0), 'w. one. two')
})

test('captions that can be encoded beforehand are listed', (t) => {
  t.deepEqual(captionVariants('a', settings({ trigger_word: 'w' })), ['w, a'])
  t.deepEqual(captionVariants('a', settings({ caption_dropout_rate: 0.1 })), ['a', ''])
  t.is(captionVariants('a', settings({ shuffle_caption: true })), undefined)
  t.is(captionVariants('a', settings({ caption_tag_dropout_rate: 0.1 })), undefined)
})
