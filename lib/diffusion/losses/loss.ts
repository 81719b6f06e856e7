/**
 * What the kinds of losses and of loss weights have in common.
 *
 * The loss of a batch, in the order of sd-scripts (post_process_loss):
 *   elementwise loss -> times mask -> mean over C, H, W -> times the sample's own weight -> times the weight of its
 *   timestep -> mean over the batch.
 * The host has tables by timestep; a device gets two numbers per sample: its weight, and the c of Huber losses.
 */
import type { z } from 'zod'
import type { NoiseSchedule, Prediction } from '../schedules'

/** An elementwise loss of d = prediction - target. */
export interface LossKind<Name extends string = string, Schema extends z.ZodType = z.ZodType> {
  /** The name in recipes, and of the loss that a device computes. */
  readonly name: Name
  readonly label: string
  readonly options: Schema
  /** c by timestep, for losses that have one. */
  c?(schedule: NoiseSchedule, options: z.output<Schema>): Float64Array
}

/** A factor on the loss of each timestep. Several may be combined: their factors are multiplied. */
export interface WeightKind<Name extends string = string, Schema extends z.ZodType = z.ZodType> {
  readonly name: Name
  readonly label: string
  readonly options: Schema
  /** Predictions that it is meant for; others are refused. */
  readonly predictions: readonly Prediction[]
  weights(schedule: NoiseSchedule, prediction: Prediction, options: z.output<Schema>): Float64Array
}

/** Ties the types of a kind together, so that its functions see the options that its schema gives. */
export function defineLoss<Name extends string, Schema extends z.ZodType>(kind: LossKind<Name, Schema>) {
  return kind
}

export function defineWeight<Name extends string, Schema extends z.ZodType>(kind: WeightKind<Name, Schema>) {
  return kind
}
