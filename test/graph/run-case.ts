/** Runs the graph of a case (build-case.ts) on a device. */
import { bufferBytes } from '../../lib/graph/parameters'
import { planMemory } from '../../lib/graph/passes/plan'
import { createProgram } from '../../lib/graph/program'
import { elements, type Tensor } from '../../lib/graph/tensor'
import { openEngine, type Engine, type Values } from '../../lib/native'
import type { Built } from './build-case'

export interface CaseResult {
  outputs: Record<string, Values>
  /** Frozen weights as the device holds them. */
  weights: Map<string, Float32Array>
  gradients(name: string): Float32Array
  gradientsAfterTwo(name: string): Float32Array
}

/** One run, and a second one that adds its gradients to those of the first. */
export async function runCase({ graph, set, leaves }: Built, device: string, seed = 0): Promise<CaseResult> {
  const engine = openEngine({ device, computeDtype: graph.dtype, threads: 1 })
  try {
    const ofKind = (kind: string) => [...leaves].filter(([, entry]) => entry.kind === kind)
    const frozen = ofKind('frozen').map(([, { tensor }]) => tensor)
    const weights = await addFrozen(engine, frozen, 5 + seed)
    if (set.elements > 0)
      for (const [name, bytes] of bufferBytes(set, [])) engine.createBuffer(name, bytes, name === 'shadow' ? 'bf16' : 'f32')
    for (const [name, { values }] of ofKind('trained')) {
      const { offset } = set.parameters.get(name)!
      engine.writeBuffer('params', offset * 4, values as Float32Array)
      if (set.dtype === 'bf16') engine.writeBuffer('shadow', offset * 2, values as Float32Array)
    }
    const handle = engine.compile(createProgram(graph, planMemory(graph)))
    const inputs: Record<string, Values> = Object.fromEntries(
      [...graph.inputs.keys()].map((name) => [name, leaves.get(name)!.values]),
    )
    const [outputs] = await engine.run([{ program: handle, inputs }])
    const first = set.elements > 0 ? engine.readBuffer('grads', 0, set.elements) : new Float32Array()
    await engine.run([{ program: handle, inputs }])
    const second = set.elements > 0 ? engine.readBuffer('grads', 0, set.elements) : new Float32Array()
    const window = (all: Float32Array) => (name: string) => {
      const { offset, shape } = set.parameters.get(name)!
      return all.slice(offset, offset + elements(shape))
    }
    return { outputs: outputs!, weights, gradients: window(first), gradientsAfterTwo: window(second) }
  } finally {
    engine.close()
  }
}

async function addFrozen(engine: Engine, tensors: readonly Tensor[], seed: number): Promise<Map<string, Float32Array>> {
  await engine.addWeights(
    tensors.map(({ name, shape, dtype }, stream) => ({
      name,
      dtype: dtype as 'f32' | 'bf16',
      shape: [...shape],
      sources: [{ kind: 'normal', seed, stream, std: 0.8, shape: [...shape] }],
    })),
  )
  return new Map(tensors.map(({ name }) => [name, engine.readWeight(name)]))
}
