import test from 'ava'
import { torchGenerator } from '../../lib/diffusion/torch-rng'
import { numbers, readFixtureTensors, relativeL2 } from '../helpers/fixture-tensors'

const tensors = readFixtureTensors('torch-rng', 'randn.safetensors')
const seedOf = (name: string) => Number(/seed(\d+)/.exec(name)![1])
const tolerance = 1e-6

/** The reference values of all tensors of one kind, half precision decoded. */
function reference(kind: string): [name: string, values: number[]][] {
  const names = [...tensors.keys()].filter((name) => name.startsWith(`${kind}.`))
  return names.map((name) => [name, tensors.get(name)!.dtype === 'F16'
    ? numbers(tensors, name).map(halfToNumber) : numbers(tensors, name)])
}

function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

test('the fixture holds the 167 tensors that the tests below go through', (t) => {
  const kinds = ['randint', 'random32', 'randperm', 'randn', 'randn_f16', 'randn_f64', 'rand', 'calls', 'latents']
  t.is(kinds.reduce((sum, kind) => sum + reference(kind).length, 0), 167)
})

test('raw outputs, whole, uniform numbers and permutations are equal', (t) => {
  for (const [name, values] of reference('random32')) {
    const generator = torchGenerator(seedOf(name))
    // The fixture took them as 64-bit numbers and kept the lower halves: every second output.
    const pairs = values.map(() => [generator.random32(), generator.random32()])
    t.deepEqual(pairs.map(([, low]) => low), values, name)
  }
  for (const [name, values] of reference('randint')) {
    t.deepEqual(torchGenerator(seedOf(name)).randint(0, 1000, values.length), values, name)
  }
  for (const [name, values] of reference('randperm')) {
    t.deepEqual(torchGenerator(seedOf(name)).randperm(values.length), values, name)
  }
  for (const [name, values] of reference('rand')) {
    t.deepEqual([...torchGenerator(seedOf(name)).rand(values.length)], values, name)
  }
})

test('normal numbers agree for every size, seed and shape', (t) => {
  for (const [name, values] of [...reference('randn'), ...reference('latents')]) {
    const error = relativeL2(torchGenerator(seedOf(name)).randn(values.length), values)
    t.true(error <= tolerance, `${name}: ${error}`)
  }
})

test('one generator continues over several calls', (t) => {
  for (const [name, values] of reference('calls')) {
    const generator = torchGenerator(seedOf(name))
    const ours = [3, 5, 16, 17, 1, 1, 40].flatMap((count) => [...generator.randn(count)])
    t.true(relativeL2(ours, values) <= tolerance, name)
  }
})

test('normal numbers in other precisions agree', (t) => {
  for (const [name, values] of reference('randn_f64')) {
    t.true(relativeL2(torchGenerator(seedOf(name)).randnDouble(values.length), values) <= tolerance, name)
  }
  for (const [name, values] of reference('randn_f16')) {
    t.true(relativeL2(torchGenerator(seedOf(name)).randnHalf(values.length), values) <= tolerance, name)
  }
})

test('seeds that are not whole numbers from 0 on are refused', (t) => {
  for (const seed of [-1, 0.5, Number.NaN, 2 ** 53]) t.throws(() => torchGenerator(seed), { instanceOf: RangeError })
})
