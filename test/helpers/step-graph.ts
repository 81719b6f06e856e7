/** The graph of a training step, built without a device and without weights. */
import type { StepShape } from '../../lib/train/objective'
import { openBaseModel } from '../../lib/pipeline/base-model'
import { buildStep, type StepContext, type StepGraph } from '../../lib/train/step'
import { createStepContext } from '../../lib/train/trainer'
import { trainerSchema, type TrainerInput } from '../../lib/recipe/trainer-options'
import { fixturePath } from './fixture-tensors'

export const loraInput: TrainerInput = {
  adapter: { kind: 'lora', rank: 16 },
  networks: { unet: { learning_rate: 1e-4 } },
}

/** What a trainer on this base would build its graphs from. */
export function stepContext(
  base: 'sd15-tiny' | 'random:sd15',
  dtype: 'f32' | 'bf16',
  input: TrainerInput = loraInput,
): StepContext {
  const location = base === 'sd15-tiny' ? fixturePath('sd15-tiny', 'model') : base
  const device = {
    name: 'cpu',
    description: 'none',
    computeDtype: dtype,
    notes: [],
    openEngine: () => {
      throw new Error('no device here')
    },
  }
  return createStepContext({ base: openBaseModel(location), device }, trainerSchema.parse(input))
}

export function stepGraph(
  base: 'sd15-tiny' | 'random:sd15',
  { checkpointing, dtype, shape }: { checkpointing: 'none' | 'blocks'; dtype: 'f32' | 'bf16'; shape: StepShape },
): StepGraph {
  return buildStep(stepContext(base, dtype, { ...loraInput, checkpointing }), shape)
}
