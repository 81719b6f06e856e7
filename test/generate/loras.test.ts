import test from 'ava'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { LorikeetError } from '../../lib/base/errors'
import { findLoras, parseLoraOption, resolvePrompt } from '../../lib/generate/loras'
import { temporaryFolder } from '../helpers/safetensors-bytes'

/** A folder with these files. */
function folderOf(...files: string[]): string {
  const folder = temporaryFolder()
  for (const file of files) {
    fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true })
    fs.writeFileSync(path.join(folder, file), '')
  }
  return folder
}

test('a name is found in the folders and below', (t) => {
  const first = folderOf('cat.safetensors', 'cat.txt', 'styles/ink.safetensors')
  const second = folderOf('dog.safetensors')
  const find = findLoras([first, second])
  t.is(find('cat'), path.join(first, 'cat.safetensors'))
  t.is(find('ink'), path.join(first, 'styles', 'ink.safetensors'))
  t.is(find('styles/ink'), path.join(first, 'styles', 'ink.safetensors'))
  t.is(find('dog'), path.join(second, 'dog.safetensors'))
  t.is(find(path.join(second, 'dog.safetensors')), path.join(second, 'dog.safetensors'))
})

test('an unknown name lists what there is', (t) => {
  const folder = folderOf('catwoman.safetensors', 'dog.safetensors')
  const error = t.throws(() => findLoras([folder])('catman'), { instanceOf: LorikeetError })
  t.is(error.kind, 'input')
  t.is(error.details.where, '<lora:catman>')
  t.regex(error.details.expected ?? '', /catwoman/)
  t.notRegex(error.details.expected ?? '', /dog/)
  t.regex(t.throws(() => findLoras([])('x'), { instanceOf: LorikeetError }).message, /--lora-dir/)
})

test('a name of several files asks for the folder', (t) => {
  const folder = folderOf('a/ink.safetensors', 'b/ink.safetensors')
  t.is(t.throws(() => findLoras([folder])('ink'), { instanceOf: LorikeetError }).kind, 'usage')
  t.is(findLoras([folder])('b/ink'), path.join(folder, 'b', 'ink.safetensors'))
})

test('a folder that does not exist is an input error', (t) => {
  t.is(t.throws(() => findLoras(['/nowhere'])('x'), { instanceOf: LorikeetError }).kind, 'input')
})

test('tags leave the prompt and add to what was given', (t) => {
  const { text, uses } = resolvePrompt('a cat <lora:ink:0.5:0.8>', [{ file: 'dir/cat.safetensors', strength: 0.7 }], (name) => `/l/${name}`)
  t.is(text, 'a cat')
  t.deepEqual(uses, [
    { file: 'dir/cat.safetensors', strength: 0.7 },
    { file: '/l/ink', strength: 0.8, clipStrength: 0.5 },
  ])
})

test('a tag that names a given file sets its strength and is not looked for', (t) => {
  const { uses } = resolvePrompt('<lora:cat:0.4> x', [{ file: 'dir/cat.safetensors', strength: 1 }], () => t.fail() as never)
  t.deepEqual(uses, [{ file: 'dir/cat.safetensors', strength: 0.4, clipStrength: 0.4 }])
})

test('an option names a file and its strengths', (t) => {
  const folder = folderOf('cat.safetensors', 'odd:0.5')
  const cat = path.join(folder, 'cat.safetensors')
  t.deepEqual(parseLoraOption(cat), { file: cat, strength: 1 })
  t.deepEqual(parseLoraOption(`${cat}:0.8`), { file: cat, strength: 0.8 })
  t.deepEqual(parseLoraOption(`${cat}:-1:.25`), { file: cat, strength: -1, clipStrength: 0.25 })
  t.deepEqual(parseLoraOption(path.join(folder, 'odd:0.5')), { file: path.join(folder, 'odd:0.5'), strength: 1 })
  t.is(t.throws(() => parseLoraOption(`${folder}/dog.safetensors:0.5`), { instanceOf: LorikeetError }).details.where, `${folder}/dog.safetensors`)
})
