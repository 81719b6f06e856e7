/**
 * Times real training steps: a trainer as in any run, always the same random batch. Each rank gets a pipeline of its own, so
 * that its memory is its own too.
 */
import * as fs from 'node:fs'
import { performance } from 'node:perf_hooks'
import { philoxInts, philoxNormal } from '../base/philox'
import { latentDownscale } from '../models/families/sd15'
import type { MemoryUse, ProfileEntry } from '../native'
import type { BaseOptions } from '../pipeline/held-base'
import type { Device } from '../pipeline/device'
import { loadPipeline, type Pipeline } from '../pipeline/pipeline'
import type { RuntimeOptions } from '../pipeline/runtime'
import { buildStep } from './step'
import type { DenoisingInput } from './step-input'
import { createStepContext, createTrainer } from './trainer'
import { trainerSchema } from '../recipe/trainer-options'

export interface BenchmarkOptions extends BaseOptions {
  /** What `--base` names. */
  base: string
  device: Device
  rank: number
  /** Side of the images in pixels. */
  size: number
  batch: number
  /** Timed steps; one more runs before them. */
  steps: number
  /** Also run one profiled step at the end. */
  profile: boolean
  checkpointing?: 'none' | 'blocks'
  onProgress?: RuntimeOptions['onProgress']
  onStored?: RuntimeOptions['onStored']
  /** After each timed step, counted from 1. */
  onStep?: (step: number, seconds: number) => void
}

export interface Benchmark {
  rank: number
  /** Of each timed step. */
  seconds: number[]
  median: number
  min: number
  /** Time from the first call to the first step's end: weights, compilation and one step. */
  startSeconds: number
  /** Of one step, multiply-adds counted as two; recomputed activations included. */
  flops: number
  /** What the engine holds, bytes. */
  memory: MemoryUse
  /** Of the whole process, bytes, while this rank ran. */
  peakRss: number
  loss: number
  profile?: OpProfile
}

export interface OpProfile {
  /** By kind of op, slowest first. */
  ops: { op: string; ms: number; calls: number; flops: number }[]
  /** Single ops, slowest first. */
  labels: ProfileEntry[]
}

export async function benchmarkStep(options: BenchmarkOptions): Promise<Benchmark> {
  const { base, rank, steps, onStep } = options
  resetPeakRss()
  const started = performance.now()
  const pipe = await loadPipeline(base, options)
  try {
    const settings = trainerInput(options)
    const costs = stepFlops(pipe, settings, options)
    const trainer = await createTrainer(pipe, settings)
    const input = randomBatch(pipe, options)
    let { loss } = await trainer.step(input)
    const startSeconds = (performance.now() - started) / 1000
    const seconds: number[] = []
    for (let step = 1; step <= steps; step++) {
      const begun = performance.now()
      ;({ loss } = await trainer.step(input))
      seconds.push((performance.now() - begun) / 1000)
      onStep?.(step, seconds.at(-1)!)
    }
    const memory = pipe.runtime.engine.memory()
    const result = { rank, seconds, median: median(seconds), min: Math.min(...seconds), startSeconds, flops: sum(costs.values()) }
    const peak = peakRss()
    const profile = options.profile ? await profileStep(pipe, () => trainer.step(input), costs) : undefined
    trainer.close()
    return { ...result, memory, peakRss: peak, loss, ...(profile && { profile }) }
  } finally {
    pipe.close()
  }
}

function trainerInput({ rank, checkpointing = 'none' }: BenchmarkOptions) {
  return { adapter: { kind: 'lora', rank }, networks: { unet: { learning_rate: 1e-4 } }, checkpointing } as const
}

function shapeOf({ base }: Pipeline, { batch, size }: BenchmarkOptions) {
  const side = size / latentDownscale
  return { batch, height: side, width: side, tokens: base.config.textEncoder.positions }
}

/** Flops of one step by kind of op. */
function stepFlops(pipe: Pipeline, input: ReturnType<typeof trainerInput>, options: BenchmarkOptions): Map<string, number> {
  const { graph } = buildStep(createStepContext(pipe, trainerSchema.parse(input)), shapeOf(pipe, options))
  const flops = new Map<string, number>()
  for (const { definition, inputs, outputs, attributes } of graph.ops)
    flops.set(definition.name, (flops.get(definition.name) ?? 0) + (definition.flops?.(inputs, outputs, attributes) ?? 0))
  return flops
}

function randomBatch(pipe: Pipeline, options: BenchmarkOptions): DenoisingInput {
  const { config } = pipe.base
  const { batch, height, width, tokens } = shapeOf(pipe, options)
  const normal = (stream: number, shape: number[]) => ({
    data: philoxNormal({ seed: 0, stream, step: 0 }, new Float32Array(shape.reduce((a, b) => a * b, 1))),
    shape,
  })
  const latents = [batch, config.unet.inChannels, height, width]
  return {
    latents: normal(0, latents),
    noise: normal(1, latents),
    context: normal(2, [batch, tokens, config.unet.crossAttentionDim]),
    timesteps: philoxInts({ seed: 0, stream: 3, step: 0 }, 0, 1000, batch),
  }
}

async function profileStep(pipe: Pipeline, step: () => Promise<unknown>, costs: ReadonlyMap<string, number>): Promise<OpProfile> {
  const { engine } = pipe.runtime
  engine.profile(true)
  await step()
  const labels = engine.profileReport()
  engine.profile(false)
  const names = [...new Set(labels.map(({ op }) => op))]
  const ops = names.map((op) => {
    const entries = labels.filter((entry) => entry.op === op)
    return { op, ms: sum(entries.map(({ ms }) => ms)), calls: sum(entries.map(({ calls }) => calls)), flops: costs.get(op) ?? 0 }
  })
  return { ops: ops.sort((a, b) => b.ms - a.ms), labels }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

function sum(values: Iterable<number>): number {
  let total = 0
  for (const value of values) total += value
  return total
}

/** Linux keeps the peak of the process; this begins it anew, where that is allowed. */
function resetPeakRss(): void {
  try {
    fs.writeFileSync('/proc/self/clear_refs', '5')
  } catch {
    // Elsewhere the peak of the process's whole life is reported.
  }
}

/** Bytes. */
function peakRss(): number {
  try {
    const [, kib] = /^VmHWM:\s+(\d+) kB/m.exec(fs.readFileSync('/proc/self/status', 'utf8')) ?? []
    if (kib) return Number(kib) * 1024
  } catch {
    // Not Linux.
  }
  return process.resourceUsage().maxRSS * 1024
}
