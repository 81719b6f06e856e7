import test from 'ava'
import {
  inputPerturbation, multiresNoise, type NoiseSource, noiseOffset, philoxSource,
} from '../../lib/diffusion/noise'

/** Gives the numbers it is told to give. */
const fixed = (normal: number[], uniform: number[] = []): NoiseSource => {
  const queue = [...normal]
  const uniforms = [...uniform]
  return { normal: (count) => Float32Array.from(queue.splice(0, count)), uniform: () => uniforms.shift()! }
}

const close = (actual: Float32Array, expected: number[]) =>
  actual.length === expected.length && actual.every((value, i) => Math.abs(value - expected[i]!) < 1e-6)

test('noise offset shifts each channel of each sample by its own number', (t) => {
  const noise = Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8])
  const options = { strength: 0.1, adaptive: 0, random: false }
  const out = noiseOffset(noise, noise, [2, 2, 1, 2], options, fixed([1, -1, 2, 0]))
  t.true(close(out, [1.1, 2.1, 2.9, 3.9, 5.2, 6.2, 7, 8]))
  t.is(noise[0], 1, 'the input stays')
})

test('adaptive offset adds the mean of the latents, never below zero; random strength scales it', (t) => {
  const zeros = new Float32Array(4)
  const latents = Float32Array.from([1, 3, -4, -4])
  const up = noiseOffset(zeros, latents, [1, 2, 1, 2], { strength: 0.1, adaptive: 0.5, random: false }, fixed([1, 1]))
  t.true(close(up, [1.1, 1.1, 2.1, 2.1]))
  const none = noiseOffset(zeros, latents, [1, 2, 1, 2], { strength: 0.1, adaptive: -1, random: false }, fixed([1, 1]))
  t.true(close(none, [0, 0, 0, 0]))
  const random = { strength: 0.2, adaptive: 0, random: true }
  const half = noiseOffset(zeros, latents, [1, 2, 1, 2], random, fixed([1, -1], [0.5]))
  t.true(close(half, [0.1, 0.1, -0.1, -0.1]))
})

test('input perturbation adds independent noise', (t) => {
  const out = inputPerturbation(Float32Array.from([1, 2]), { strength: 0.1, random: false }, fixed([10, -10]))
  t.true(close(out, [2, 1]))
})

test('pyramid noise has unit variance and is smoother than white noise', (t) => {
  const shape = [2, 4, 32, 32] as const
  const source = philoxSource({ seed: 1, stream: 0, step: 0 })
  const white = source.normal(2 * 4 * 32 * 32)
  const out = multiresNoise(white, shape, { iterations: 6, discount: 0.8 }, source)
  const mean = out.reduce((sum, value) => sum + value, 0) / out.length
  const variance = out.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (out.length - 1)
  t.true(Math.abs(variance - 1) < 1e-4)
  const neighbours = (values: Float32Array) => {
    let product = 0
    for (let i = 0; i + 1 < values.length; i++) if (i % 32 !== 31) product += values[i]! * values[i + 1]!
    return product / values.length
  }
  t.true(Math.abs(neighbours(white)) < 0.05)
  t.true(neighbours(out) > 0.2)
})

test('coarse noise is enlarged bilinearly from pixel centres', (t) => {
  // Level 0 adds zeros; level 1 halves both sides (ratio 2), so two rows and columns become four.
  const source: NoiseSource = {
    normal: (count) => (count === 16 ? new Float32Array(16) : Float32Array.from([0, 4, 0, 4])),
    uniform: () => 0,
  }
  const out = multiresNoise(new Float32Array(16), [1, 1, 4, 4], { iterations: 2, discount: 1 }, source)
  const row = [0, 1, 3, 4]
  const deviation = Math.sqrt([...row, ...row, ...row, ...row].reduce((sum, value) => sum + (value - 2) ** 2, 0) / 15)
  t.true(close(out, [...row, ...row, ...row, ...row].map((value) => value / deviation)))
})

test('draws of one source differ from each other and are reproducible', (t) => {
  const key = { seed: 3, stream: 10, step: 5 }
  const [a, b] = [philoxSource(key), philoxSource(key)]
  const first = a.normal(4)
  t.deepEqual(first, b.normal(4))
  t.notDeepEqual(first, a.normal(4))
})
