/** The losses and loss weights by their names in recipes, and the tables that a training run takes from them. */
import { LorikeetError } from '../../base/errors'
import type { NoiseSchedule, Prediction } from '../schedules'
import { debiased } from './debiased'
import { huber } from './huber'
import { l1 } from './l1'
import type { LossKind, WeightKind } from './loss'
import { minSnrGamma } from './min-snr-gamma'
import { mse } from './mse'
import { scaleV } from './scale-v'
import { smoothL1 } from './smooth-l1'
import { vPredLike } from './v-pred-like'

export type * from './loss'

export const lossKinds = [mse, huber, smoothL1, l1] as const
export const weightKinds = [minSnrGamma, debiased, scaleV, vPredLike] as const

export type LossName = typeof lossKinds[number]['name']
export type WeightName = typeof weightKinds[number]['name']

/** A kind's name with its options as a recipe gives them; those left out take their defaults. */
export interface Choice<Name extends string> {
  name: Name
  options?: Readonly<Record<string, unknown>>
}

/** Everything about the loss that a run needs to know before its first step. */
export interface LossTables {
  /** Which elementwise loss the device computes. */
  loss: LossName
  /** Factor on the loss of a sample, by timestep. */
  weight: Float64Array
  /** c of the loss, by timestep; absent for losses without one. */
  c?: Float64Array
}

export function lossTables(
  schedule: NoiseSchedule, prediction: Prediction, loss: Choice<LossName>, weights: readonly Choice<WeightName>[] = [],
): LossTables {
  const weight = new Float64Array(schedule.steps).fill(1)
  for (const choice of weights) {
    const kind: WeightKind = weightKinds.find(({ name }) => name === choice.name)!
    if (!kind.predictions.includes(prediction)) {
      throw new LorikeetError('usage', 'this loss weight does not fit what the model predicts', {
        where: kind.name, expected: kind.predictions.join(' or '), received: prediction })
    }
    const table = kind.weights(schedule, prediction, kind.options.parse(choice.options ?? {}))
    for (let t = 0; t < weight.length; t++) weight[t]! *= table[t]!
  }
  const kind: LossKind = lossKinds.find(({ name }) => name === loss.name)!
  return { loss: loss.name, weight, c: kind.c?.(schedule, kind.options.parse(loss.options ?? {})) }
}
