/**
 * The recipe: everything about a training run, in one file. Each part's schema lives beside what it configures; this is
 * where they come together. Field names are those of kohya-ss/sd-scripts where it has one. The reference in
 * docs/reference/recipe.md is made from the descriptions here.
 */
import { z } from 'zod'
import { datasetSchema } from '../dataset'
import { multiresNoiseOptions, noiseOffsetOptions } from '../diffusion/noise'
import { samplers } from '../diffusion/samplers'
import { optimizerOptions } from '../optimizers'
import { basePrecisions } from '../pipeline/base-precision'
import { lrSchedules } from '../optimizers/lr-schedules'
import { adapterSchema, lossSchema, trainerSchema } from './trainer-options'

const trainer = trainerSchema.shape
const count = z.int().min(1)
const learningRate = z.number().min(0).max(100)

/** A name that is safe as a part of a file's name on every system. */
const fileName = z
  .string()
  .min(1)
  .max(150)
  .regex(/^[^\\/:*?"<>|\u0000-\u001f]+$/, 'expected a plain name without / \\ : * ? " < > |')
  .refine((name) => !/^[. ]|[. ]$/.test(name), 'expected a name that neither begins nor ends with a dot or a space')

export const outputSchema = z.strictObject({
  name: fileName.describe('Name of the result: DIR/NAME.safetensors, and DIR/NAME/ for checkpoints, samples and logs'),
  dir: z
    .string()
    .min(1)
    .default('output')
    .describe('Folder for the result, relative to the working directory; made when missing'),
  save_precision: z
    .enum(['fp16', 'bf16', 'float'])
    .default('fp16')
    .describe('Numbers in the LoRA file; checkpoints are always f32'),
  save_every_n_steps: count.optional().describe('Save the LoRA and a checkpoint to resume from every n steps'),
  save_every_n_epochs: count.optional().describe('The same every n epochs'),
  checkpoint_every_n_steps: z
    .int()
    .min(0)
    .default(100)
    .describe('Also write a checkpoint to resume from every n steps, without a LoRA; the newest two are kept; 0 never'),
  keep_last: count.optional().describe('Keep only the last n of these intermediate saves; all unless set'),
  title: z.string().optional().describe('Title in the metadata; the name unless set'),
  author: z.string().optional().describe('Author in the metadata'),
  description: z.string().optional().describe('Description in the metadata'),
  license: z.string().optional().describe('Licence in the metadata'),
  tags: z.string().optional().describe('Tags in the metadata, separated by commas'),
  trigger_phrase: z
    .string()
    .optional()
    .describe('Trigger phrase in the metadata; the trigger word of the dataset unless set'),
  comment: z.string().optional().describe('Free text in the metadata'),
  tag_frequency: z.boolean().default(true).describe('Write how often each tag was seen, which user interfaces show'),
})

export const trainSchema = z
  .strictObject({
    unet_lr: learningRate.default(1e-4).describe('Learning rate of the UNet; 0 leaves it as it is'),
    text_encoder_lr: learningRate.default(0).describe('Learning rate of the text encoder; 0 leaves it as it is'),
    vae_lr: learningRate.default(0).describe('Learning rate of the VAE; only with adapter kind full, and alone'),
    steps: count.optional().describe('Length in steps (updates of the weights); 1600 when epochs is not given either'),
    epochs: count.optional().describe('Length in epochs, instead of steps'),
    gradient_accumulation: trainer.gradient_accumulation,
    checkpointing: trainer.checkpointing,
    max_grad_norm: trainer.max_grad_norm,
    ema_decay: trainer.ema_decay,
    seed: z.int().min(0).default(42).describe('Decides all that is random; same recipe, same result'),
    clip_skip: trainer.clip_skip,
    max_token_length: trainer.max_token_length,
    prediction_type: trainer.prediction_type,
    min_timestep: z.int().min(0).max(999).default(0).describe('Lowest timestep that is drawn'),
    max_timestep: z.int().min(1).max(1000).default(1000).describe('Timesteps that are drawn lie below this'),
    noise_offset: z
      .strictObject({
        strength: noiseOffsetOptions.shape.strength.describe('Strength; 0.05 to 0.1 is usual'),
        adaptive: noiseOffsetOptions.shape.adaptive.describe(
          'Added to it, times the mean of the latents of each channel',
        ),
        random: noiseOffsetOptions.shape.random.describe('Draw the strength anew in each step'),
      })
      .optional()
      .describe('Shift the noise of each channel as a whole, to learn dark and bright pictures'),
    multires_noise: z
      .strictObject({
        iterations: multiresNoiseOptions.shape.iterations.describe('Levels'),
        discount: multiresNoiseOptions.shape.discount.describe('Factor from level to level'),
      })
      .optional()
      .describe('Add coarser noise (pyramid noise)'),
  })
  .superRefine((train, context) => {
    const refuse = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message })
    if (train.steps !== undefined && train.epochs !== undefined)
      refuse('epochs', 'expected either steps or epochs, received both')
    if (train.min_timestep >= train.max_timestep)
      refuse('min_timestep', `expected less than max_timestep (${train.max_timestep})`)
    if (train.unet_lr === 0 && train.text_encoder_lr === 0 && train.vae_lr === 0)
      refuse('unet_lr', 'nothing would be trained: every learning rate is 0')
    if (train.vae_lr > 0 && (train.unet_lr > 0 || train.text_encoder_lr > 0))
      refuse('vae_lr', 'the VAE is trained alone: set unet_lr and text_encoder_lr to 0')
    if (train.multires_noise && train.noise_offset)
      refuse('multires_noise', 'expected either noise_offset or multires_noise')
  })

export const lrScheduleSchema = z.strictObject({
  kind: z
    .enum(lrSchedules.map((schedule) => schedule.name) as [string, ...string[]])
    .default('constant')
    .describe('Course of the learning rates'),
  warmup: z.number().min(0).default(0).describe('Steps over which they grow from 0; below 1 it is a share of the run'),
  cycles: z.number().positive().default(0.5).describe('cosine: waves; 0.5 falls once from full to zero'),
})

const side = z.int().min(64).max(4096).multipleOf(8)
const samplerNames = samplers.map((sampler) => sampler.name) as [string, ...string[]]
const sampleFields = {
  negative: z.string().describe('Negative prompt'),
  sampler: z.enum(samplerNames).describe('Sampler'),
  steps: z.int().min(1).max(1000).describe('Steps of the sampler'),
  cfg: z.number().min(0).max(100).describe('Guidance scale'),
  seed: z.int().min(0).describe('Seed; the same in every round, so that pictures can be compared'),
  width: side.describe('Width in pixels'),
  height: side.describe('Height in pixels'),
}

export const samplesSchema = z
  .strictObject({
    every_n_steps: count.optional().describe('Draw samples every n steps'),
    every_n_epochs: count.optional().describe('Draw samples every n epochs'),
    at_start: z.boolean().default(false).describe('Also before the first step, to see what the base does'),
    prompts: z
      .array(
        z.union([
          z.string(),
          z.strictObject({ prompt: z.string().describe('Prompt'), ...z.object(sampleFields).partial().shape }),
        ]),
      )
      .min(1)
      .describe('Prompts; each a text, or a mapping with prompt and any of the settings below'),
    negative: sampleFields.negative.default(''),
    sampler: sampleFields.sampler.default('euler_a'),
    steps: sampleFields.steps.default(20),
    cfg: sampleFields.cfg.default(7),
    seed: sampleFields.seed.default(0),
    width: sampleFields.width.optional().describe('Width in pixels; the resolution of the dataset unless set'),
    height: sampleFields.height.optional().describe('Height in pixels; the resolution of the dataset unless set'),
  })
  .superRefine((samples, context) => {
    if (samples.every_n_steps === undefined && samples.every_n_epochs === undefined && !samples.at_start)
      context.addIssue({
        code: 'custom',
        path: ['every_n_steps'],
        message: 'expected every_n_steps, every_n_epochs or at_start',
      })
  })

export const logsSchema = z.strictObject({
  json_lines: z.boolean().default(true).describe('DIR/NAME/log.jsonl: one line a step'),
  tensorboard: z.boolean().default(true).describe('DIR/NAME/tensorboard/: event files'),
})

export const recipeSchema = z
  .strictObject({
    base: z
      .string()
      .min(1)
      .describe('What is trained on: a diffusers folder, a single-file checkpoint, demo (the embedded model), or random:sd15'),
    base_precision: z
      .enum(basePrecisions)
      .default('full')
      .describe(
        'How the frozen matrices of the base are stored: full, as what is computed in, or in 8 bits (int8, fp8) or 4 (nf4) to fit a smaller card',
      ),
    base_offload: z
      .number()
      .min(0)
      .max(1)
      .default(0)
      .describe(
        'Share of the weights of its layers that a card leaves in the memory of the machine and fetches for each use: the same results on a smaller card, slower where transfers take longer than the computing',
      ),
    output: outputSchema.describe('Where results go, and what they say about themselves'),
    dataset: datasetSchema.describe('Pictures and captions; see docs/guides/dataset.md'),
    adapter: adapterSchema.prefault({ kind: 'lora' }).describe('What is trained'),
    train: trainSchema.prefault({}).describe('How it is trained'),
    optimizer: optimizerOptions.prefault({}).describe('How gradients become updates'),
    lr_schedule: lrScheduleSchema.prefault({}).describe('How the learning rates change'),
    loss: lossSchema.describe('What is minimised'),
    samples: samplesSchema.optional().describe('Pictures drawn during training; none unless set'),
    logs: logsSchema.prefault({}).describe('What is recorded'),
    on_non_finite: z
      .enum(['skip', 'stop'])
      .default('stop')
      .describe('When loss or gradients are not finite: leave out that update and go on, or stop with exit code 5'),
    continue_from: trainer.continue_from,
  })
  .superRefine((recipe, context) => {
    const refuse = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message })
    if (recipe.train.vae_lr > 0 && recipe.adapter.kind !== 'full')
      refuse(['train', 'vae_lr'], 'the VAE can only be trained with adapter kind full')
    if (recipe.continue_from !== undefined && recipe.adapter.kind !== 'lora')
      refuse(['continue_from'], 'goes on from a LoRA, so the adapter kind must be lora')
  })

/** A recipe with every default filled in; plain data. */
export type Recipe = z.output<typeof recipeSchema>
/** A recipe as people write it. */
export type RecipeInput = z.input<typeof recipeSchema>
export type SamplePrompt = NonNullable<Recipe['samples']>['prompts'][number]

/** The length when a recipe gives neither steps nor epochs: that of sd-scripts. */
export const defaultSteps = 1600
