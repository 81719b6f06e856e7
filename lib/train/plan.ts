/** The memory plan of a training run, per category, before anything is allocated. Needs no addon. */
import { bufferBytes } from '../graph/parameters'
import { planMemory } from '../graph/passes/plan'
import { bytesOf } from '../graph/tensor'
import type { WeightRequest } from '../models/scope'
import { weightMemory, type WeightMemory } from '../pipeline/held-base'
import { openedWeights } from '../pipeline/opened'
import { formatShape, type StepShape } from './objective'
import { buildStep, buildUpdate, stateBuffers, type StepContext } from './step'

/** Bytes by category. */
export interface TrainingPlan extends WeightMemory {
  params: number
  grads: number
  optimizer: number
  /** bf16 copy of the parameters; 0 in f32. */
  shadow: number
  /** Intermediates of the largest step. */
  arena: number
  /** All of these but `host`. */
  total: number
  /** The arena of each shape, largest first, with the bytes below which no plan could go. */
  shapes: { shape: string; arena: number; lowerBound: number; peakOp: string; flops: number }[]
}

/** @param shapes every micro-batch shape that will run */
export function planTraining(context: StepContext, shapes: readonly StepShape[]): TrainingPlan {
  const requests = new Map<string, WeightRequest>()
  const opened = new Set<string>()
  const steps = shapes.map((shape) => {
    const built = buildStep(context, shape)
    for (const request of built.requests) requests.set(request.name, request)
    for (const name of openedWeights(built.graph.ops)) opened.add(name)
    const plan = planMemory(built.graph)
    const flops = built.graph.ops.reduce((sum, op) => sum + (op.definition.flops?.(op.inputs, op.outputs, op.attributes) ?? 0), 0)
    return { shape: formatShape(shape), arena: plan.arenaBytes, lowerBound: plan.lowerBound, peakOp: `${plan.peak.phase} ${plan.peak.name}`, flops }
  })
  const update = planMemory(buildUpdate(context)).arenaBytes
  const states = stateBuffers(context)
  const buffers = bufferBytes(context.set, states)
  const weights = [...requests.values()].filter((request) => !context.set.parameters.has(request.name))
  const frozen = weightMemory(weights, opened, context)
  const categories = {
    weights: frozen.weights,
    staging: frozen.staging,
    params: buffers.get('params') ?? 0,
    grads: buffers.get('grads') ?? 0,
    optimizer: states.reduce((sum, state) => sum + bytesOf(state), 0),
    shadow: buffers.get('shadow') ?? 0,
    arena: Math.max(update, ...steps.map((step) => step.arena)),
  }
  const total = Object.values(categories).reduce((a, b) => a + b, 0)
  return { ...categories, host: frozen.host, total, shapes: steps.sort((a, b) => b.arena - a.arena) }
}
