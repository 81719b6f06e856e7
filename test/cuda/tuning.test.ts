/**
 * Choosing kernels by measuring, on the emulated card, whose clock tells what its launches cost at the least: the same every
 * time.
 */
import test from 'ava'
import { formatVersion, type Program, type ProgramTensor } from '../../lib/graph/program'
import { onEmulatedCard } from '../helpers/emulated-card'
import { elements } from '../helpers/run-op'

type DType = 'f32' | 'bf16'
type Instruction = Program['instructions'][number]

/** One instruction; every operand has a place of its own in the arena. An absent input is undefined. */
interface Case {
  op: string
  inputs: (number[] | undefined)[]
  outputs: number[][]
  attributes?: Instruction['attributes']
}

/** Inputs of `dtype`, except that `bias`, if given, is the f32 input. */
function programOf({ op, inputs, outputs, attributes = {} }: Case, dtype: DType, bias = -1): Program {
  let arenaBytes = 0
  const tensors: ProgramTensor[] = []
  const place = (shape: number[], name: string, type: DType) => {
    tensors.push({ dtype: type, shape, space: 'arena', offset: arenaBytes, name })
    arenaBytes += Math.ceil((elements(shape) * 4) / 256) * 256
    return tensors.length - 1
  }
  const ins = inputs.map((shape, i) => (shape ? place(shape, `in${i}`, i === bias ? 'f32' : dtype) : -1))
  const outs = outputs.map((shape, i) => place(shape, `out${i}`, dtype))
  return {
    version: formatVersion,
    label: op,
    arenaBytes,
    tensors,
    instructions: [{ op, inputs: ins, outputs: outs, attributes }],
    inputs: ins.flatMap((tensor, i) => (tensor < 0 ? [] : [{ name: `in${i}`, tensor }])),
    outputs: outs.map((tensor, i) => ({ name: `out${i}`, tensor })),
  }
}

// Two adapters, one of them on q and v only; scales whose quotients round, of both signs.
const scales = { adapters: 2, up_adapter: [0, 0, 1], up_column: [0, 96, 0], up_rank: [0, 8, 0], scale: [0.7, -0.3] }
const stride2 = { stride: 2, padding: [1, 1, 1, 1] }
const cases: Record<string, Case> = {
  linear: {
    op: 'linear',
    inputs: [[70, 72], [144, 72], [144], [16, 72], [8, 72], [48, 8], [48, 8], [144, 8]],
    outputs: [[70, 144], [70, 16], [70, 8]],
    attributes: scales,
  },
  'linear with scales for q, k and v': {
    op: 'linear',
    inputs: [[70, 72], [144, 72], undefined, [8, 72], [8, 72], [8, 72], [48, 8], [48, 8], [48, 8]],
    outputs: [[70, 144], [70, 8], [70, 8], [70, 8]],
    attributes: { adapters: 3, up_adapter: [0, 1, 2], up_column: [0, 48, 96], up_rank: [0, 0, 0], scale: [0.7, -0.3, 1.1] },
  },
  'linear of odd sizes': {
    op: 'linear',
    inputs: [[37, 19], [33, 19], [33], [3, 19], [33, 3]],
    outputs: [[37, 33], [37, 3]],
    attributes: { adapters: 1, up_adapter: [0], up_column: [0], up_rank: [0], scale: [0.3] },
  },
  linear_input_grad: {
    op: 'linear_input_grad',
    inputs: [[70, 72], [72, 136], [70, 16], [70, 8], [16, 136], [8, 136]],
    outputs: [[70, 136]],
    attributes: { adapters: 2 },
  },
  low_rank_dh: {
    op: 'low_rank_dh',
    inputs: [[70, 144], [48, 8], [48, 16]],
    outputs: [[70, 24]],
    attributes: { rank: 24, up_column: [0, 96], up_rank: [0, 8], scale: 0.7 },
  },
  conv2d: {
    op: 'conv2d',
    inputs: [[1, 9, 8, 24], [72, 3, 3, 24], [72], [16, 3, 3, 24], [8, 3, 3, 24], [24, 8], [24, 8], [72, 8]],
    outputs: [[1, 5, 4, 72], [1, 5, 4, 16], [1, 5, 4, 8]],
    attributes: { ...stride2, ...scales, up_column: [0, 48, 0] },
  },
  conv2d_input_grad: {
    op: 'conv2d_input_grad',
    inputs: [[1, 5, 4, 40], [40, 3, 3, 24], [1, 5, 4, 8], [8, 3, 3, 24]],
    outputs: [[1, 9, 8, 24]],
    attributes: { ...stride2, size: [9, 8], adapters: 1 },
  },
}
const biasOf = ({ op }: Case) => (op === 'linear' || op === 'conv2d' ? 2 : -1)
const names: Record<DType, string[]> = { bf16: ['128x128', '128x64', '64x64', '32x16'], f32: ['128x64', '64x64'] }

test('results are the same bits whatever is chosen, while it is measured, and in a graph', (t) => {
  const all = Object.entries(cases).flatMap(([title, one]) =>
    (['bf16', 'f32'] as const).map((dtype) => ({ title: `${title}, ${dtype}`, dtype, program: programOf(one, dtype, biasOf(one)) })),
  )
  const reference = onEmulatedCard(all.map(({ program }) => ({ programs: [program], options: { measure: true } })))
  const jobs = all.flatMap(({ title, dtype, program }, i) => {
    const keys = Object.keys(reference[i]!.measured)
    t.true(keys.length >= 1 && keys.every((key) => key.includes(` ${dtype} `)), title)
    return names[dtype].map((name) => ({
      title: `${title}, ${name}`,
      expected: reference[i]!.hashes[0]![0]!,
      programs: [program],
      options: { choices: Object.fromEntries(keys.map((key) => [key, name])), measure: true },
    }))
  })
  const results = onEmulatedCard(jobs)
  all.forEach(({ title }, i) => t.is(new Set(reference[i]!.hashes[0]).size, 1, title))
  jobs.forEach(({ title, expected }, i) => {
    t.deepEqual(results[i]!.hashes, [[expected, expected]], title)
    t.deepEqual(results[i]!.measured, {}, title)
  })
})

/** y = x wᵀ */
const product = (m: number, n: number, k: number) =>
  programOf({ op: 'linear', inputs: [[m, k], [n, k]], outputs: [[m, n]], attributes: { ...scales, adapters: 0, up_adapter: [], up_column: [], up_rank: [], scale: [] } }, 'bf16')

const measure = { measure: true }

test('each problem is measured once, and every card gets what is fastest there, the same every time', (t) => {
  const job = { programs: [product(512, 256, 64), product(512, 256, 64), product(3584, 128, 512)], options: measure }
  const [small, again] = onEmulatedCard([job, job], { card: 'RTX 3060 12GB', mode: 'sampled' })
  const [large] = onEmulatedCard([job], { card: 'RTX 4090', mode: 'sampled' })
  t.deepEqual(small!.measured, { 'matmul bf16 m3584 n128 k512': '128x128', 'matmul bf16 m512 n256 k64': '32x16' })
  t.deepEqual(again!.measured, small!.measured)
  t.deepEqual(large!.measured, { 'matmul bf16 m3584 n128 k512': '64x64', 'matmul bf16 m512 n256 k64': '32x16' })
})

test('what is known is not measured again, unless it is the name of nothing here', (t) => {
  const key = 'matmul bf16 m64 n64 k64'
  const programs = [product(64, 64, 64)]
  const [known, unknown] = onEmulatedCard([
    { programs, options: { ...measure, choices: { [key]: '32x16' } } },
    { programs, options: { ...measure, choices: { [key]: '7x7' } } },
  ])
  t.deepEqual(known!.measured, {})
  t.deepEqual(Object.keys(unknown!.measured), [key])
})

test('nothing is measured unasked, by the clock of the host, or where a result takes the place of an operand', (t) => {
  const program = product(64, 64, 64)
  const tensors = program.tensors.map((tensor, i) => (i === 2 ? { ...tensor, offset: 0 } : tensor))
  const jobs = [{ programs: [program] }, { programs: [{ ...program, tensors }], options: measure }]
  const results = [
    ...onEmulatedCard(jobs, { mode: 'sampled' }),
    ...onEmulatedCard([{ programs: [program], options: measure }], { mode: 'fast' }),
  ]
  t.deepEqual(results.map(({ measured }) => measured), [{}, {}, {}])
})

test('gradients by weights, which are added to, have the same bits on every card', (t) => {
  const program = programOf({ op: 'linear_weight_grad', inputs: [[1600, 16], [1600, 40]], outputs: [], attributes: { scale: 0.5 } }, 'bf16')
  program.tensors.push({ dtype: 'f32', shape: [16, 40], space: 'buffer', offset: 0, name: 'dw' })
  program.instructions[0]!.outputs.push(2)
  const on = (card: string) => onEmulatedCard([{ programs: [program], options: measure }], { card, mode: 'fast' })
  const expected = on('RTX 3060 12GB')
  t.not(expected[0]!.hashes[0]![0], expected[0]!.hashes[0]![1])
  for (const card of ['RTX 4070', 'RTX 5090']) t.deepEqual(on(card), expected, card)
})
