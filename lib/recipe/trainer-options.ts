/** What a trainer needs to know: the part of a recipe that decides the computation of a step. */
import { z } from 'zod'
import { loraOptions } from '../adapters/lora'
import { huberOptions } from '../diffusion/losses/huber'
import { optimizerOptions } from '../optimizers'

const fullOptions = z.strictObject({ kind: z.literal('full').describe('Train every weight of the chosen networks') })

export const adapterSchema = z.discriminatedUnion('kind', [
  loraOptions.extend({ kind: z.literal('lora').describe('LoRA, with conv_rank LoCon') }),
  fullOptions,
])

const networkSchema = z.strictObject({
  learning_rate: z.number().positive().describe('Learning rate of this network, before the schedule'),
})

const robust = { ...huberOptions.shape }

export const lossSchema = z
  .strictObject({
    kind: z.enum(['mse', 'l1', 'huber', 'smooth_l1']).default('mse').describe('Elementwise loss between prediction and target'),
    c: robust.c.describe('huber and smooth_l1: where the loss turns from square to linear'),
    scale: robust.scale.describe('huber and smooth_l1: times c'),
    schedule: robust.schedule.describe('huber and smooth_l1: how c depends on the timestep'),
    min_snr_gamma: z.number().positive().optional().describe('Weigh timesteps by min(SNR, gamma); 5 is usual'),
    debiased: z.boolean().default(false).describe('Weigh timesteps by 1/sqrt(SNR) (debiased estimation)'),
    kl_weight: z.number().min(0).default(1e-6).describe('Training the VAE: weight of the KL divergence'),
  })
  .prefault({})

export const trainerSchema = z.strictObject({
  adapter: adapterSchema,
  networks: z.strictObject({
    unet: networkSchema.optional(),
    text_encoder: networkSchema.optional(),
    vae: networkSchema.optional().describe('Only with adapter kind full, and alone'),
  }),
  optimizer: optimizerOptions.prefault({}),
  max_grad_norm: z.number().min(0).default(1).describe('Clip the norm of all gradients together; 0 never clips'),
  ema_decay: z
    .number()
    .min(0)
    .lt(1)
    .optional()
    .describe('Keep a running average of what is trained and save that; 0.999 is usual for full training'),
  loss: lossSchema,
  prediction_type: z.enum(['epsilon', 'v_prediction']).optional().describe('What the model predicts; refused when the model says otherwise'),
  gradient_accumulation: z.int().min(1).default(1).describe('Batches per update'),
  checkpointing: z
    .enum(['none', 'blocks'])
    .default('none')
    .describe('blocks: recompute activations in the backward pass; less memory, about a third more time'),
  clip_skip: z.int().min(1).default(1).describe('1 uses the last layer of the text encoder, 2 the last but one'),
  max_token_length: z.literal([75, 150, 225]).default(75).describe('Captions are cut at this many tokens'),
  continue_from: z.string().optional().describe('A LoRA file to go on from; its ranks and alphas hold'),
  seed: z.int().min(0).default(0).describe('Of the initial values of what is trained'),
})

export type TrainerOptions = z.output<typeof trainerSchema>
export type TrainerInput = z.input<typeof trainerSchema>
