import test from 'ava'
import {
  chunkLength, generationRows, generationWeights, rowLength, trainingJoin, trainingRows,
} from '../../lib/text/chunks'
import { builtInClipTokenizer } from '../../lib/text/clip-tokenizer'
import { numbers, readFixtureJson, readFixtureTensors } from '../helpers/fixture-tensors'

interface Fixture {
  cases: { text: string, ids: number[] }[]
  chunks: { text: string, max_token_length_150: number[][], max_token_length_225: number[][] }[]
}

const fixture = readFixtureJson<Fixture>('sd15-tiny', 'tokenizer.json')
const tokenizer = builtInClipTokenizer()

test('rows of 77 equal the reference for every case: cut with the end token kept, and padded', (t) => {
  const expected = numbers(readFixtureTensors('sd15-tiny', 'tokenizer.safetensors'), 'ids77')
  fixture.cases.forEach(({ text }, i) => {
    const { rows } = trainingRows(tokenizer.encode(text), tokenizer, 75)
    t.deepEqual(rows, [expected.slice(i * 77, (i + 1) * 77)], JSON.stringify(text))
  })
})

test('long captions are cut into rows as sd-scripts does at 150 and 225', (t) => {
  t.true(fixture.chunks.length > 0)
  for (const { text, max_token_length_150: at150, max_token_length_225: at225 } of fixture.chunks) {
    const ids = tokenizer.encode(text)
    t.deepEqual(trainingRows(ids, tokenizer, 150).rows, at150)
    t.deepEqual(trainingRows(ids, tokenizer, 225).rows, at225)
  }
})

test('with a padding token of its own, full rows end with the end token and empty ones begin with it', (t) => {
  const special = { startId: 1, endId: 2, padId: 0 }
  const ids = Array.from({ length: 80 }, (_, i) => i + 10)
  const { rows, dropped } = trainingRows(ids, special, 225)
  t.is(dropped, 0)
  t.deepEqual(rows.map((row) => [row[0], row[1], row[75], row[76]]), [[1, 10, 84, 2], [1, 85, 0, 0], [1, 2, 0, 0]])
  t.deepEqual(rows[1]!.slice(0, 9), [1, 85, 86, 87, 88, 89, 2, 0, 0])
})

test('says how many ids were cut off', (t) => {
  const ids = new Array<number>(160).fill(5)
  t.is(trainingRows(ids, tokenizer, 75).dropped, 85)
  t.is(trainingRows(ids, tokenizer, 150).dropped, 10)
  t.is(trainingRows(ids, tokenizer, 225).dropped, 0)
})

test('joined rows spell the sentence once: one start, the ids, one end', (t) => {
  const ids = Array.from({ length: 170 }, (_, i) => i + 1000)
  for (const [length, positions] of [[75, 77], [150, 152], [225, 227]] as const) {
    const { rows } = trainingRows(ids, tokenizer, length)
    const join = trainingJoin(rows.length)
    t.is(join.length, positions)
    const flat = rows.flat()
    const sentence = [...join].map((index) => flat[index]!)
    t.deepEqual(sentence.slice(0, 1 + Math.min(170, length)), [tokenizer.startId, ...ids.slice(0, length)])
    t.is(sentence[positions - 1], tokenizer.endId)
  }
})

test('generation takes any number of complete rows', (t) => {
  const ids = Array.from({ length: 2 * chunkLength + 1 }, (_, i) => i + 1000)
  const rows = generationRows(ids, tokenizer)
  t.is(rows.length, 3)
  for (const row of rows) {
    t.is(row.length, rowLength)
    t.is(row[0], tokenizer.startId)
    t.is(row[rowLength - 1], tokenizer.endId)
  }
  t.deepEqual(rows.flatMap((row) => row.slice(1, 76)).slice(0, ids.length), ids)
  t.is(generationRows([], tokenizer).length, 1)
  t.is(generationRows([], tokenizer, 3).length, 3)
  t.is(generationRows(ids.slice(0, 75), tokenizer).length, 1)
})

test('weights lie at the positions of their ids', (t) => {
  const rows = generationWeights(Array.from({ length: 76 }, (_, i) => i + 2), 2)
  t.is(rows[0]![0], 1)
  t.is(rows[0]![1], 2)
  t.is(rows[0]![75], 76)
  t.is(rows[0]![76], 1)
  t.deepEqual([...rows[1]!.slice(0, 3)], [1, 77, 1])
})
