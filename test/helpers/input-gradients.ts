/** Gradients of a step's noised latents and text states, which the trainer itself never asks for. */
import { compileGraph } from '../../lib/pipeline/compile'
import { toChannelsFirst } from '../../lib/pipeline/images'
import type { Pipeline } from '../../lib/pipeline/pipeline'
import { trainerSchema, type TrainerInput } from '../../lib/recipe/trainer-options'
import { buildStep } from '../../lib/train/step'
import { prepareStep, type DenoisingInput } from '../../lib/train/step-input'
import { createStepContext } from '../../lib/train/trainer'

/**
 * Call it while a trainer with the same options is open on the pipeline: its parameters are used.
 * @returns dNoisy in the order [N, C, h, w], dContext [N, L, width]
 */
export async function inputGradients(
  pipe: Pipeline,
  input: TrainerInput,
  step: DenoisingInput,
): Promise<{ dNoisy: Float32Array; dContext: Float32Array }> {
  const context = createStepContext(pipe, trainerSchema.parse(input))
  const trainsTextEncoder = input.networks.text_encoder !== undefined
  const rules = { config: context.config, objective: context.objective, trainsTextEncoder, trainsVae: false }
  const prepared = prepareStep(step, rules)
  const built = buildStep(context, prepared.shape, { wrt: true })
  const { engine } = pipe.runtime
  await pipe.runtime.loadWeights(built.requests)
  const { handle } = compileGraph(engine, built.graph)
  const [out] = await engine.run([{ program: handle, inputs: prepared.inputs }])
  engine.release(handle)
  const [n = 0, c = 0, h = 0, w = 0] = step.latents.shape
  return {
    dNoisy: toChannelsFirst({ data: out!.d_noisy as Float32Array, shape: [n, h, w, c] }).data,
    dContext: out!.d_context as Float32Array,
  }
}
