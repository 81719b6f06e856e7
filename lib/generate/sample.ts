/**
 * The denoising loop: from noise to latents, one prediction of the network a step, with classifier-free guidance
 * (Ho and Salimans 2022, arXiv 2207.12598):
 *
 *     output = unconditional + cfg * (conditional - unconditional)
 */
import { LorikeetError } from '../base/errors'
import { linear } from '../diffusion/samplers/sampler'
import type { Sampler, SamplerRun, Spacing } from '../diffusion/samplers'
import { sdSchedule, type Prediction } from '../diffusion/schedules'
import type { Values } from '../pipeline/images'
import type { Pipeline } from '../pipeline/pipeline'

export interface SampleInput {
  sampler: Sampler
  steps: number
  /** 1 leaves the unconditional half away. */
  cfg: number
  /** Standard normal noise, [N, C, h, w]; scaled here to the first noise level. */
  noise: Values
  /** [N, L, width] */
  context: Values
  /** [N, L, width] of the negative prompt; not looked at when `cfg` is 1. */
  negative?: Values
  /** Both halves in one prediction of twice the batch (default), or one after the other in half the memory. */
  separateGuidance?: boolean
  /** Fresh standard normal noise for step i, [N, C, h, w]; asked for by samplers that use it. */
  stepNoise?: (step: number) => Float32Array
  /** What the model predicts, where it does not say so itself. */
  prediction?: Prediction
  spacing?: Spacing
  /** After each step, counted from 1. */
  onStep?: (step: number, steps: number, latents: Values) => void
}

/**
 * @returns scaled latents, [N, C, h, w]
 * @throws LorikeetError (diverged) naming the step at which the latents were no longer finite
 */
export async function sample(pipe: Pipeline, input: SampleInput): Promise<Values> {
  const { sampler, steps, noise, stepNoise, onStep } = input
  const run = beginRun(pipe, input)
  let x: Float32Array = noise.data.map((value) => value * run.initNoiseSigma)
  for (let i = 0; i < steps; i++) {
    const output = await guided(pipe, input, run, x, i)
    x = run.step(x, output, i, sampler.usesNoise ? stepNoise?.(i) : undefined)
    checkFinite(x, `step ${i + 1} of ${steps}`)
    onStep?.(i + 1, steps, { data: x, shape: noise.shape })
  }
  return { data: x, shape: noise.shape }
}

function beginRun({ base }: Pipeline, { sampler, steps, prediction = base.predictionType, spacing }: SampleInput): SamplerRun {
  const { zeroTerminalSnr } = base
  // Only trailing timesteps begin at the last one, which such models have learnt to start from (Lin et al. 2024).
  const chosen = spacing ?? (zeroTerminalSnr ? 'trailing' : undefined)
  return sampler.begin(sdSchedule({ zeroTerminalSnr }), steps, { prediction, ...(chosen && { spacing: chosen }) })
}

/** The network's output at step i. */
async function guided(pipe: Pipeline, input: SampleInput, run: SamplerRun, x: Float32Array, i: number): Promise<Float32Array> {
  const { cfg, noise, context, negative, separateGuidance = false } = input
  const batch = noise.shape[0] ?? 1
  const latents = { data: run.scaleInput(x, i), shape: noise.shape }
  const timesteps = new Array<number>(batch).fill(run.timesteps[i]!)
  const predict = async (context: Values) => (await pipe.predict({ latents, timesteps, context })).data
  if (cfg === 1) return predict(context)
  if (!negative) throw new LorikeetError('usage', 'guidance needs the text states of a negative prompt', { where: 'cfg' })
  if (separateGuidance) {
    const unconditional = await predict(negative)
    return linear(1 - cfg, unconditional, cfg, await predict(context))
  }
  const both = await pipe.predict({
    latents: joinBatches(latents, latents),
    timesteps: [...timesteps, ...timesteps],
    context: joinBatches(negative, context),
  })
  const half = both.data.length / 2
  return linear(1 - cfg, both.data.subarray(0, half), cfg, both.data.subarray(half))
}

/** [N, ...] and [M, ...] -> [N + M, ...] */
export function joinBatches(...parts: readonly Values[]): Values {
  const data = new Float32Array(parts.reduce((sum, part) => sum + part.data.length, 0))
  let at = 0
  for (const part of parts) {
    data.set(part.data, at)
    at += part.data.length
  }
  const count = parts.reduce((sum, part) => sum + (part.shape[0] ?? 0), 0)
  return { data, shape: [count, ...(parts[0]?.shape.slice(1) ?? [])] }
}

export function checkFinite(values: Float32Array, where: string): void {
  if (values.every(Number.isFinite)) return
  throw new LorikeetError('diverged', 'the picture is no longer made of finite numbers', {
    where,
    fix: 'Lower the strength of the LoRAs, look for NaN in them (lorikeet inspect), or compute in f32 (--compute-dtype f32)',
  })
}
