/**
 * Weights that stay with the host and travel for each use, and weights that are opened for each use: the results are
 * those of weights that lie ready, to the bit, in each way a step runs (launch by launch at first, then as a graph).
 */
import test from 'ava'
import { createGraph, createTensor, input, output } from '../../lib/graph/graph'
import { linear } from '../../lib/graph/ops/linear'
import { linearInputGrad } from '../../lib/graph/ops/linear_input_grad'
import { openEngine, type WeightSpec } from '../../lib/native'
import { compileGraph } from '../../lib/pipeline/compile'
import { normals } from '../helpers/run-op'
import { testDevice } from '../helpers/test-device'

const rows = 4
const dtypes = ['f32', 'bf16'] as const
type ComputeDType = (typeof dtypes)[number]
type Storage = NonNullable<WeightSpec['storage']>

/** Widths between layers: weights of many sizes, whose places in the ring overlap in many ways. */
const widths = [64, 96, 192, 32, 160, 64, 64, 256, 96, 32, 32, 128, 64, 32, 96, 32, 160, 96, 64, 64]
const shapes = widths.slice(1).map((width, layer) => [width, widths[layer]!])
const bytesOf = (shape: number[], dtype: ComputeDType) => shape[0]! * shape[1]! * (dtype === 'f32' ? 4 : 2)

/** x through all layers and back through their input gradients, which read the same weights in the opposite order. */
function thereAndBack(dtype: ComputeDType) {
  const graph = createGraph('there and back', dtype)
  const weights = shapes.map((shape, layer) => createTensor(`w${layer}`, shape, dtype, { space: 'weight', name: `w${layer}` }))
  let value = input(graph, 'x', [rows, widths[0]!], dtype)
  for (const w of weights) value = linear(graph, value, w, undefined)
  for (const w of [...weights].reverse()) value = linearInputGrad(graph, value, w, [])
  output(graph, 'y', value)
  return graph
}

const specs = (dtype: ComputeDType, options: (layer: number) => Partial<WeightSpec>): WeightSpec[] =>
  shapes.map((shape, layer) => ({
    name: `w${layer}`,
    dtype,
    shape,
    sources: [{ kind: 'normal', seed: 7, stream: layer, std: 1 / Math.sqrt(shape[1]!), shape }],
    ...options(layer),
  }))

/** y of four runs, each with another x, and what the engine took. */
async function runs(dtype: ComputeDType, weights: WeightSpec[]) {
  const engine = openEngine({ device: testDevice, computeDtype: dtype, threads: 1 })
  try {
    await engine.addWeights(weights)
    const { handle } = compileGraph(engine, thereAndBack(dtype))
    const results: Float32Array[] = []
    for (let run = 0; run < 4; run++) {
      const x = Float32Array.from(normals(rows * widths[0]!, 100 + run))
      const [out] = await engine.run([{ program: handle, inputs: { x } }])
      results.push(out!.y as Float32Array)
    }
    return { results, memory: engine.memory() }
  } finally {
    engine.close()
  }
}

const someOnHost = (layer: number) => ({ onHost: layer % 3 !== 1 })

for (const dtype of dtypes)
  test(`weights that stay with the host give the same results, ${dtype}`, async (t) => {
    const ready = await runs(dtype, specs(dtype, () => ({})))
    t.is(ready.memory.host, 0)
    t.is(ready.memory.staging, 0)
    for (const onHost of [() => ({ onHost: true }), someOnHost]) {
      const fetched = await runs(dtype, specs(dtype, onHost))
      t.deepEqual(fetched.results, ready.results)
      if (testDevice === 'cpu') continue
      const away = shapes.filter((_, layer) => onHost(layer).onHost).map((shape) => bytesOf(shape, dtype))
      t.is(fetched.memory.host, away.reduce((a, b) => a + b))
      t.is(fetched.memory.weights + fetched.memory.host, ready.memory.weights)
      t.is(fetched.memory.staging, 3 * Math.max(...away))
      t.true(fetched.memory.staging < 2 * fetched.memory.host, 'places in the ring are used again')
    }
  })

for (const storage of ['nf4', 'int8', 'fp8'] satisfies Storage[])
  for (const dtype of dtypes)
    test(`weights stored as ${storage} are opened for each use, on the card or on their way from the host, ${dtype}`, async (t) => {
      const here = await runs(dtype, specs(dtype, () => ({ storage })))
      for (const onHost of [() => ({ onHost: true }), someOnHost])
        t.deepEqual((await runs(dtype, specs(dtype, (layer) => ({ storage, ...onHost(layer) })))).results, here.results)
      const plain = await runs(dtype, specs(dtype, () => ({})))
      t.notDeepEqual(here.results, plain.results)
      if (testDevice === 'cpu') return
      // In bf16 matrices with rows of whole blocks are opened on their way into the products, which have few rows.
      const opened = shapes.filter(([, width]) => dtype === 'f32' || width! % 64 !== 0)
      t.is(here.memory.staging, Math.max(...opened.map((shape) => bytesOf(shape, dtype))))
      t.true(here.memory.weights < plain.memory.weights / (dtype === 'f32' ? 3 : 1.8))
    })

for (const storage of ['nf4', 'int8', 'fp8'] satisfies Storage[])
  test(`products of few rows open a weight stored as ${storage} on the way, with the bits of those of many rows`, async (t) => {
    const width = 128
    const spec: WeightSpec = { name: 'w', dtype: 'bf16', shape: [96, width], storage, sources: [{ kind: 'normal', seed: 3, stream: 0, std: 0.1, shape: [96, width] }] }
    const product = async (rows: number) => {
      const engine = openEngine({ device: testDevice === 'cpu' ? 'cuda-sim' : testDevice, computeDtype: 'bf16' })
      try {
        await engine.addWeights([spec])
        const graph = createGraph('product', 'bf16')
        const w = createTensor('w', spec.shape, 'bf16', { space: 'weight', name: 'w' })
        const y = linear(graph, input(graph, 'x', [rows, width], 'bf16'), w, undefined)
        output(graph, 'y', y)
        output(graph, 'dx', linearInputGrad(graph, y, w, []))
        const { handle } = compileGraph(engine, graph)
        const [out] = await engine.run([{ program: handle, inputs: { x: Float32Array.from(normals(rows * width, 1)) } }])
        return { y: out!.y as Float32Array, dx: out!.dx as Float32Array, staging: engine.memory().staging }
      } finally {
        engine.close()
      }
    }
    const [one, few, many] = [await product(1), await product(192), await product(193)]
    for (const { y, dx } of [one, few]) {
      t.deepEqual(y, many.y.slice(0, y.length))
      t.deepEqual(dx, many.dx.slice(0, dx.length))
    }
    t.deepEqual([one, few, many].map(({ staging }) => staging), [0, 0, 96 * width * 2])
  })
