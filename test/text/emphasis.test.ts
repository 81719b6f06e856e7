import test from 'ava'
import { builtInClipTokenizer } from '../../lib/text/clip-tokenizer'
import { applyWeights, encodeWeighted, parseEmphasis } from '../../lib/text/emphasis'
import { readFixtureJson } from '../helpers/fixture-tensors'

interface Fixture { weighted: { text: string, ids: number[], weights: number[] }[] }

const { weighted } = readFixtureJson<Fixture>('sd15-tiny', 'tokenizer.json')

test('gives ids and weights of the reference', (t) => {
  const tokenizer = builtInClipTokenizer()
  t.true(weighted.length > 0)
  for (const expected of weighted) {
    const { ids, weights } = encodeWeighted(tokenizer, expected.text)
    t.deepEqual([tokenizer.startId, ...ids, tokenizer.endId], expected.ids, expected.text)
    // The reference stores its double-precision weights as f32.
    t.deepEqual([1, ...weights, 1].map(Math.fround), expected.weights.map(Math.fround), expected.text)
  }
})

test('text without brackets is one piece', (t) => {
  t.deepEqual(parseEmphasis('a cat: at 10:30'), [{ text: 'a cat: at 10:30', weight: 1 }])
  t.deepEqual(parseEmphasis(''), [])
})

test('brackets that nothing opened, and weights that are no numbers, are text', (t) => {
  t.deepEqual(parseEmphasis('a) b] c:1.2)'), [{ text: 'a) b] c:1.2)', weight: 1 }])
  t.deepEqual(parseEmphasis('(well:...) yes'), [{ text: 'well:...', weight: 1.1 }, { text: ' yes', weight: 1 }])
})

test('applying weights scales the states and keeps their mean', (t) => {
  const states = Float32Array.from([1, 2, 3, 4, 5, 6])
  applyWeights(states, Float32Array.from([1, 2, 1]))
  const sum = [...states].reduce((a, b) => a + b)
  t.true(Math.abs(sum - 21) < 1e-5)
  t.true(Math.abs(states[2]! / states[0]! - 6) < 1e-5)
  const same = Float32Array.from([0.1, -0.1])
  applyWeights(same, Float32Array.from([1, 1]))
  t.deepEqual(same, Float32Array.from([0.1, -0.1]))
})
