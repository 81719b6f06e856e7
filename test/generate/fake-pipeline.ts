/**
 * A pipeline without networks: the prediction is a simple function of latents, timestep and text, so that tests of the loop
 * around it can compute what must come out, and see what was asked for.
 */
import { sd15Config } from '../../lib/models/families/sd15'
import type { Values } from '../../lib/pipeline/images'
import type { Pipeline, PredictInput } from '../../lib/pipeline/pipeline'
import type { LoraUse } from '../../lib/pipeline/runtime'

export interface FakePipeline {
  pipe: Pipeline
  predictions: PredictInput[]
  applied: (readonly LoraUse[])[]
}

/** Text states are the length of the prompt; the prediction is 0.3 x + 0.01 text + 0.0001 t, or what `distort` makes of it. */
export function fakePipeline(distort: (value: number, call: number) => number = (value) => value): FakePipeline {
  const predictions: PredictInput[] = []
  const applied: (readonly LoraUse[])[] = []
  const pipe = {
    base: {
      location: '/models/fake.safetensors',
      config: sd15Config,
      predictionType: 'epsilon',
      zeroTerminalSnr: false,
    },
    encodePrompts: (prompts: readonly string[]) =>
      Promise.resolve<Values>({ data: Float32Array.from(prompts, (prompt) => prompt.length), shape: [prompts.length, 1, 1] }),
    predict(input: PredictInput) {
      predictions.push(input)
      const { latents, timesteps, context } = input
      const size = latents.data.length / timesteps.length
      const data = latents.data.map((x, i) => {
        const n = Math.floor(i / size)
        return distort(0.3 * x + 0.01 * context.data[n]! + 0.0001 * timesteps[n]!, predictions.length)
      })
      return Promise.resolve<Values>({ data, shape: latents.shape })
    },
    decodeLatents({ shape }: Values) {
      const [n = 1, , h = 1, w = 1] = shape
      return Promise.resolve<Values>({ data: new Float32Array(n * 3 * 64 * h * w), shape: [n, 3, 8 * h, 8 * w] })
    },
    applyLoras(uses: readonly LoraUse[]) {
      applied.push(uses)
      return Promise.resolve()
    },
  }
  return { pipe: pipe as unknown as Pipeline, predictions, applied }
}
