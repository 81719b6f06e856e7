/** How fast the device moves memory: the rate of adding large tensors, from which the floor of everything but products follows. */
import { createGraph, input, output } from '../graph/graph'
import { add } from '../graph/ops/add'
import { compileGraph } from '../pipeline/compile'
import type { Device } from '../pipeline/device'

/** Larger than the caches of processors and cards: 128 MiB a tensor. */
const elements = 2 ** 25
/** Sums in one run, each of the one before and the input. */
const chain = 6

/** @returns bytes per second of the best of `rounds` runs; two reads and a write for each sum */
export async function measureMemoryRate(device: Device, rounds = 3): Promise<number> {
  const engine = device.openEngine()
  try {
    const graph = createGraph('memory rate', 'f32')
    const x = input(graph, 'x', [elements])
    let y = x
    for (let i = 0; i < chain; i++) y = add(graph, y, x)
    output(graph, 'y', y)
    const { handle } = compileGraph(engine, graph)
    const run = () => engine.run([{ program: handle, inputs: { x: new Float32Array(elements) } }])
    await run()
    let best = Infinity
    for (let round = 0; round < rounds; round++) {
      engine.profile(true)
      await run()
      best = Math.min(best, engine.profileReport().reduce((total, { ms }) => total + ms, 0))
    }
    return (chain * 3 * elements * 4) / (best / 1000)
  } finally {
    engine.close()
  }
}
