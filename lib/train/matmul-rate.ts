/** What the device does at best: the rate of large matrix products, from which the floor of a step's time follows. */
import { createGraph, createTensor, input, output } from '../graph/graph'
import { cast } from '../graph/ops/cast'
import { linear } from '../graph/ops/linear'
import type { NormalSource } from '../native'
import { compileGraph } from '../pipeline/compile'
import type { Device } from '../pipeline/device'

/** Rows and columns; all three sides are large enough that packing and threads cost next to nothing. */
const side = 2048
/** Products in one run, each on the result of the one before. */
const chain = 8

/** @returns flops per second of the best of `rounds` runs */
export async function measureMatmulRate(device: Device, rounds = 5): Promise<number> {
  const engine = device.openEngine()
  try {
    const graph = createGraph('matmul rate', device.computeDtype)
    const w = createTensor('w', [side, side], device.computeDtype, { space: 'weight', name: 'w' })
    let x = cast(graph, input(graph, 'x', [side, side]), device.computeDtype)
    for (let i = 0; i < chain; i++) x = linear(graph, x, w, undefined)
    output(graph, 'y', cast(graph, x, 'f32'))
    const shape = [side, side]
    const values: NormalSource = { kind: 'normal', seed: 0, stream: 0, std: 1 / Math.sqrt(side), shape }
    await engine.addWeights([{ name: 'w', dtype: device.computeDtype, shape, sources: [values] }])
    const { handle } = compileGraph(engine, graph)
    const x0 = new Float32Array(side * side).fill(1)
    const run = () => engine.run([{ program: handle, inputs: { x: x0 } }])
    await run()
    let best = Infinity
    for (let round = 0; round < rounds; round++) {
      engine.profile(true)
      await run()
      const ms = engine.profileReport().filter(({ op }) => op === 'linear').reduce((total, entry) => total + entry.ms, 0)
      best = Math.min(best, ms)
    }
    return (chain * 2 * side ** 3) / (best / 1000)
  } finally {
    engine.close()
  }
}
