import test from 'ava'
import {
  philoxBlock, philoxInt, philoxInts, philoxNormal, philoxShuffle, philoxUniform, philoxWords,
} from '../../lib/base/philox'

const key = { seed: 42, stream: 3, step: 7 }

// Known answers of Random123 (tests/kat_vectors, philox4x32 10): counter, key, result.
const knownAnswers = [
  ['00000000 00000000 00000000 00000000', '00000000 00000000', '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
  ['ffffffff ffffffff ffffffff ffffffff', 'ffffffff ffffffff', '408f276d 41c83b0e a20bc7c6 6d5451fd'],
  ['243f6a88 85a308d3 13198a2e 03707344', 'a4093822 299f31d0', 'd16cfe09 94fdcceb 5001e420 24126ea1'],
]

const hex = (text: string) => text.split(' ').map((word) => Number.parseInt(word, 16))

test('gives the known answers of Random123', (t) => {
  for (const [counter, words, expected] of knownAnswers) {
    const [c0, c1, c2, c3] = hex(counter!) as [number, number, number, number]
    const [k0, k1] = hex(words!) as [number, number]
    const out = new Uint32Array(4)
    philoxBlock(c0, c1, c2, c3, k0, k1, out)
    t.deepEqual([...out], hex(expected!))
  }
})

test('agrees with a 64-bit reference at random counters and keys', (t) => {
  const reference = (counter: bigint[], initialKey: bigint[]) => {
    let c = counter
    let k = initialKey
    for (let round = 0; round < 10; round++) {
      const p0 = 0xd2511f53n * c[0]!
      const p1 = 0xcd9e8d57n * c[2]!
      c = [(p1 >> 32n) ^ c[1]! ^ k[0]!, p1 & 0xffffffffn, (p0 >> 32n) ^ c[3]! ^ k[1]!, p0 & 0xffffffffn]
      k = [(k[0]! + 0x9e3779b9n) & 0xffffffffn, (k[1]! + 0xbb67ae85n) & 0xffffffffn]
    }
    return c.map(Number)
  }
  const words = philoxWords(key, 6 * 500)
  for (let i = 0; i < words.length; i += 6) {
    const w = [...words.subarray(i, i + 6)] as [number, number, number, number, number, number]
    const out = new Uint32Array(4)
    philoxBlock(...w, out)
    t.deepEqual([...out], reference(w.slice(0, 4).map(BigInt), w.slice(4).map(BigInt)))
  }
})

test('seed fills the key, block, step and stream the counter', (t) => {
  const out = new Uint32Array(4)
  philoxBlock(1, 7, 3, 0, 0x89abcdef, 0x12345, out)
  t.deepEqual([...philoxWords({ seed: 0x1234589abcdef, stream: 3, step: 7 }, 8).subarray(4)], [...out])
})

test('every part of the key matters, and a shorter sequence is the beginning of a longer one', (t) => {
  const base = philoxNormal(key, new Float32Array(8))
  for (const other of [{ seed: 43 }, { stream: 4 }, { step: 8 }, { seed: 42 + 2 ** 32 }]) {
    const values = philoxNormal({ ...key, ...other }, new Float32Array(8))
    t.true(values.every((value, i) => value !== base[i]))
  }
  t.deepEqual(philoxNormal(key, new Float32Array(5)), base.slice(0, 5))
  t.deepEqual(philoxUniform(key, new Float32Array(3)), philoxUniform(key, new Float32Array(8)).slice(0, 3))
})

test('normal numbers have the moments of a standard normal distribution', (t) => {
  const n = 200_000
  const values = philoxNormal({ seed: 2 ** 53 - 1, stream: 0, step: 0 }, new Float32Array(n))
  const moment = (power: number) => values.reduce((sum, x) => sum + x ** power, 0) / n
  // Five standard deviations of each sample moment.
  t.true(Math.abs(moment(1)) < 5 * Math.sqrt(1 / n))
  t.true(Math.abs(moment(2) - 1) < 5 * Math.sqrt(2 / n))
  t.true(Math.abs(moment(3)) < 5 * Math.sqrt(15 / n))
  t.true(Math.abs(moment(4) - 3) < 5 * Math.sqrt(96 / n))
  // Neighbours come from one pair of the Box-Muller transform and must not correlate.
  let product = 0
  for (let i = 0; i + 1 < n; i++) product += values[i]! * values[i + 1]!
  t.true(Math.abs(product / n) < 5 * Math.sqrt(1 / n))
})

test('uniform numbers lie in [0, 1) and fill it evenly', (t) => {
  const n = 100_000
  const counts = new Array<number>(10).fill(0)
  for (const value of philoxUniform(key, new Float32Array(n))) {
    t.true(value >= 0 && value < 1)
    counts[Math.floor(value * 10)]!++
  }
  const chiSquared = counts.reduce((sum, count) => sum + (count - n / 10) ** 2 / (n / 10), 0)
  t.true(chiSquared < 27.9) // 99.9 % of chi-squared with 9 degrees of freedom
})

test('whole numbers cover their range evenly and keep to it', (t) => {
  const n = 70_000
  const counts = new Map<number, number>()
  for (const value of philoxInts(key, -2, 5, n)) counts.set(value, (counts.get(value) ?? 0) + 1)
  t.deepEqual([...counts.keys()].sort((a, b) => a - b), [-2, -1, 0, 1, 2, 3, 4])
  const chiSquared = [...counts.values()].reduce((sum, count) => sum + (count - n / 7) ** 2 / (n / 7), 0)
  t.true(chiSquared < 22.5) // 99.9 % with 6 degrees of freedom
  t.is(philoxInt(key, 9, 10), 9)
  t.is(philoxInt(key, -2, 5), philoxInts(key, -2, 5, 3)[0])
  t.throws(() => philoxInt(key, 5, 5), { instanceOf: RangeError })
})

test('shuffling keeps all items and puts each of them anywhere', (t) => {
  const items = ['a', 'b', 'c', 'd', 'e']
  const first = new Map<string, number>()
  const rounds = 5000
  for (let step = 0; step < rounds; step++) {
    const shuffled = philoxShuffle({ seed: 1, stream: 0, step }, items)
    if (step < 100) t.deepEqual([...shuffled].sort(), items)
    first.set(shuffled[0]!, (first.get(shuffled[0]!) ?? 0) + 1)
  }
  const chiSquared = items.reduce((sum, item) => sum + ((first.get(item) ?? 0) - rounds / 5) ** 2 / (rounds / 5), 0)
  t.true(chiSquared < 18.5) // 99.9 % with 4 degrees of freedom
  t.deepEqual(philoxShuffle(key, []), [])
})

test('seeds, streams and steps outside their range are refused', (t) => {
  const outside = [
    { seed: -1 }, { seed: 2 ** 53 }, { seed: 0.5 }, { stream: 2 ** 32 }, { step: -1 }, { step: Number.NaN },
  ]
  for (const bad of outside) {
    t.throws(() => philoxWords({ ...key, ...bad }, 4), { instanceOf: RangeError })
  }
})

test('makes the noise of a 512x512 image in well under two milliseconds once warm', (t) => {
  const out = new Float32Array(4 * 64 * 64)
  const times: number[] = []
  for (let step = 0; step < 60; step++) {
    const before = performance.now()
    philoxNormal({ seed: 1, stream: 0, step }, out)
    times.push(performance.now() - before)
  }
  const best = Math.min(...times)
  t.log(`${best.toFixed(2)} ms`)
  t.true(best < 2)
})
