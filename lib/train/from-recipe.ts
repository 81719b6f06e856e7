/** What a recipe means for the parts of a run: the trainer's options, the length, the learning rates. */
import { LorikeetError } from '../base/errors'
import { runLength, type BatchPlan, type RunLength } from '../dataset'
import { lrFactor, lrSchedules, type LrScheduleOptions } from '../optimizers/lr-schedules'
import type { BaseOptions } from '../pipeline/held-base'
import type { Recipe } from '../recipe'
import type { TrainerInput } from '../recipe/trainer-options'

export function trainerInput(recipe: Recipe): TrainerInput {
  const { adapter, optimizer, loss, continue_from: continueFrom, train } = recipe
  const rate = (learningRate: number) => (learningRate > 0 ? { learning_rate: learningRate } : undefined)
  return {
    adapter,
    networks: { unet: rate(train.unet_lr), text_encoder: rate(train.text_encoder_lr), vae: rate(train.vae_lr) },
    optimizer,
    loss,
    max_grad_norm: train.max_grad_norm,
    ema_decay: train.ema_decay,
    prediction_type: train.prediction_type,
    gradient_accumulation: train.gradient_accumulation,
    checkpointing: train.checkpointing,
    clip_skip: train.clip_skip,
    max_token_length: train.max_token_length,
    continue_from: continueFrom,
    seed: train.seed,
  }
}

export function baseOptionsOf(recipe: Recipe): Required<BaseOptions> {
  return { basePrecision: recipe.base_precision, baseOffload: recipe.base_offload }
}

/** The learning rates of the networks that are trained, before the schedule. */
export function learningRates({ train }: Pick<Recipe, 'train'>): Record<string, number> {
  const all = { unet: train.unet_lr, text_encoder: train.text_encoder_lr, vae: train.vae_lr }
  return Object.fromEntries(Object.entries(all).filter(([, rate]) => rate > 0))
}

export function lengthOf({ train }: Pick<Recipe, 'train'>, plan: BatchPlan): RunLength {
  return runLength(plan, train.steps !== undefined ? { steps: train.steps } : { epochs: train.epochs })
}

/** Steps over which the learning rate grows: a number, or below 1 a share of the run. */
export function warmupSteps({ lr_schedule: { warmup } }: Pick<Recipe, 'lr_schedule'>, steps: number): number {
  return warmup < 1 ? Math.round(warmup * steps) : Math.round(warmup)
}

/** The factor on the learning rates at a step, counted from 0. */
export function rateFactor(recipe: Pick<Recipe, 'lr_schedule'>, steps: number): (step: number) => number {
  const { kind, cycles } = recipe.lr_schedule
  const schedule = lrSchedules.find(({ name }) => name === kind)
  if (!schedule)
    throw new LorikeetError('usage', 'there is no such schedule', { where: 'lr_schedule.kind', received: kind })
  const options: LrScheduleOptions = { updates: steps, warmupUpdates: warmupSteps(recipe, steps), cycles }
  return (step) => lrFactor(schedule, step, options)
}

/** Whether something happens after `step` steps are done: every n steps, every n epochs, never at 0. */
export function isDue(
  step: number,
  { every_n_steps: everySteps, every_n_epochs: everyEpochs }: { every_n_steps?: number; every_n_epochs?: number },
  stepsPerEpoch: number,
): boolean {
  const divides = (period: number | undefined) => period !== undefined && period > 0 && step > 0 && step % period === 0
  return divides(everySteps) || divides(everyEpochs && everyEpochs * stepsPerEpoch)
}
