import test from 'ava'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { LorikeetError } from '../../lib/base/errors'
import { builtInMerges, parseMerges, vocabularyOf } from '../../lib/text/clip-merges'
import { builtInClipTokenizer, readClipTokenizer } from '../../lib/text/clip-tokenizer'
import { fixturePath, readFixtureJson } from '../helpers/fixture-tensors'

interface Case { text: string, ids: number[] }

const { cases } = readFixtureJson<{ cases: Case[] }>('sd15-tiny', 'tokenizer.json')
const folder = fixturePath('sd15-tiny', 'model', 'tokenizer')

test('gives the ids of the reference tokenizer for every case, from a folder and from the built-in data', (t) => {
  t.is(cases.length, 200)
  const fromFolder = readClipTokenizer(folder)
  const builtIn = builtInClipTokenizer()
  for (const { text, ids } of cases) {
    t.deepEqual(fromFolder.tokenize(text), ids, JSON.stringify(text))
    t.deepEqual(builtIn.tokenize(text), ids, JSON.stringify(text))
  }
})

test('the built-in merges and the vocabulary derived from them are those of the model folder', (t) => {
  const merges = parseMerges(readFileSync(path.join(folder, 'merges.txt'), 'utf8'))
  t.is(merges.length, 48894)
  t.deepEqual(builtInMerges(), merges)
  const vocabulary = JSON.parse(readFileSync(path.join(folder, 'vocab.json'), 'utf8')) as Record<string, number>
  t.deepEqual(vocabularyOf(merges), new Map(Object.entries(vocabulary).sort((a, b) => a[1] - b[1])))
})

test('takes the padding token from special_tokens_map.json', (t) => {
  const other = mkdtempSync(path.join(tmpdir(), 'lorikeet-tokenizer-'))
  writeFileSync(path.join(other, 'vocab.json'), '{"!":0,"a</w>":1,"<|startoftext|>":2,"<|endoftext|>":3}')
  writeFileSync(path.join(other, 'merges.txt'), '#version: 0.2\n')
  t.is(readClipTokenizer(other).padId, 3)
  writeFileSync(path.join(other, 'special_tokens_map.json'), '{"pad_token":"!"}')
  t.is(readClipTokenizer(other).padId, 0)
  t.deepEqual(readClipTokenizer(other).tokenize('a b'), [2, 1, 3, 3], 'an unknown token is the end token')
})

test('a folder without or with broken tokenizer files is refused with the file at fault', (t) => {
  const empty = mkdtempSync(path.join(tmpdir(), 'lorikeet-tokenizer-'))
  const missing = t.throws(() => readClipTokenizer(empty), { instanceOf: LorikeetError })
  t.is(missing.kind, 'input')
  t.is(missing.details.where, path.join(empty, 'vocab.json'))
  for (const content of ['{"a": ', '[1]', '{"a": "b"}', '{"a": 1}']) {
    writeFileSync(path.join(empty, 'vocab.json'), content)
    writeFileSync(path.join(empty, 'merges.txt'), '')
    t.is(t.throws(() => readClipTokenizer(empty), { instanceOf: LorikeetError }).kind, 'input', content)
  }
})

test('tokenises a million characters without a space in a few seconds', (t) => {
  const before = Date.now()
  t.true(builtInClipTokenizer().encode('ab1-'.repeat(250_000)).length > 500_000)
  t.true(Date.now() - before < 20_000)
})
