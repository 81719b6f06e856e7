/**
 * From a model, an adapter, a loss and an optimizer to the programs of a training run: one gradient graph per batch shape,
 * one update graph, one that clears the gradients. Needs no addon, so plans can be made anywhere.
 */
import type { TrainableAdapter } from '../adapters/adapter'
import { createGraph, input, output, type Graph } from '../graph/graph'
import { castInto } from '../graph/ops/cast'
import { clear } from '../graph/ops/clear'
import { ema } from '../graph/ops/ema'
import { globalNorm } from '../graph/ops/global_norm'
import { flatBuffer, flatState, stateTensor, type ParameterSet, type StateBuffer } from '../graph/parameters'
import { autodiff } from '../graph/passes/autodiff'
import { checkpoint } from '../graph/passes/checkpointing'
import type { ComputeDType } from '../graph/tensor'
import type { StableDiffusionConfig } from '../models/families/sd15'
import { createScope, type AdapterSource, type NetworkName, type Scope, type WeightRequest } from '../models/scope'
import { optimizerOf } from '../optimizers'
import type { HeldBase } from '../pipeline/held-base'
import { buildAutoencoding, buildDenoising, type Objective, type StepShape } from './objective'
import type { TrainerOptions } from '../recipe/trainer-options'

export interface StepContext {
  config: StableDiffusionConfig
  dtype: ComputeDType
  /** As the device holds the frozen matrices. */
  held: HeldBase
  options: TrainerOptions
  objective: Objective
  set: ParameterSet
  /** Undefined in full training. */
  adapter: TrainableAdapter | undefined
  /** LoRAs below the one that is trained. */
  frozen: readonly AdapterSource[]
}

export interface StepGraph {
  graph: Graph
  /** Frozen weights that it reads, and in full training the weights that are trained. */
  requests: WeightRequest[]
}

export const networkNames = ['text_encoder', 'unet', 'vae'] as const satisfies readonly NetworkName[]

/** The networks that are trained, in the order of their learning rates. */
export function trainedNetworks({ networks }: Pick<TrainerOptions, 'networks'>): NetworkName[] {
  return networkNames.filter((name) => networks[name] !== undefined)
}

/**
 * The step on one micro-batch.
 * @param gradients false for the loss alone (validation)
 * @param wrt also give the gradients of the noised latents and the text states, as outputs d_noisy and d_context
 */
export function buildStep(context: StepContext, shape: StepShape, { gradients = true, wrt = false } = {}): StepGraph {
  const { options, config } = context
  const trained = trainedNetworks(options)
  const forward = createGraph(`step ${shape.batch}x${shape.height}x${shape.width}/${shape.tokens}`, context.dtype)
  const scopes = new Map<NetworkName, Scope>()
  const scopeOf = (network: NetworkName): Scope => {
    const known = scopes.get(network) ?? openScope(context, forward, network, trained.includes(network))
    scopes.set(network, known)
    return known
  }
  const kind = options.loss.kind
  const textEncoder = trained.includes('text_encoder')
  const losses = trained.includes('vae')
    ? buildAutoencoding(forward, scopeOf, config, shape, { kind, klWeight: options.loss.kl_weight })
    : buildDenoising(forward, scopeOf, config, shape, context.objective, { textEncoder, clipSkip: options.clip_skip, kind })
  const requests = [...scopes.values()].flatMap((scope) => [...scope.requests.values()])
  if (!gradients) return { graph: forward, requests }

  const seeds = losses.seeds.map((seed, i) => ({ ...seed, scale: (losses.scales[i] ?? 1) / options.gradient_accumulation }))
  const asked = wrt ? [losses.noisy, losses.context].filter((tensor) => tensor !== undefined) : []
  const { graph, gradients: found } = autodiff(forward, seeds, asked)
  if (losses.noisy && found.has(losses.noisy)) output(graph, 'd_noisy', found.get(losses.noisy)!)
  if (losses.context && found.has(losses.context)) output(graph, 'd_context', found.get(losses.context)!)
  const mode = options.checkpointing === 'blocks' ? 'recompute' : 'keep'
  return { graph: checkpoint(graph, () => mode), requests }
}

function openScope(context: StepContext, graph: Graph, network: NetworkName, trained: boolean): Scope {
  const { adapter, frozen, set } = context
  const adapters = trained && adapter ? [...frozen, adapter] : frozen
  const isFull = trained && !adapter
  return createScope(graph, network, { adapters, ...(isFull && { trainable: set }) })
}

/** The buffers besides params, grads and shadow: optimizer state, and the average if asked. */
export function stateBuffers({ set, options }: Pick<StepContext, 'set' | 'options'>): StateBuffer[] {
  const average = options.ema_decay === undefined ? [] : [averageState(set)]
  return [...optimizerOf(options.optimizer).state(set, options.optimizer), ...average]
}

const averageState = (set: ParameterSet) => flatState(set, 'average')

/** grads, scalars -> norm; parameters and optimizer state in place. */
export function buildUpdate({ set, options, dtype }: StepContext): Graph {
  const graph = createGraph('update', dtype)
  graph.phase = 'update'
  const groups = trainedNetworks(options)
  const optimizer = optimizerOf(options.optimizer)
  const scalars = input(graph, 'scalars', [optimizer.scalarCount(groups.length)])
  const norm = globalNorm(graph, flatBuffer(set, 'grads'))
  optimizer.update(graph, set, { norm, scalars }, options.optimizer, { groups, maxGradNorm: options.max_grad_norm })
  if (options.ema_decay !== undefined) ema(graph, flatBuffer(set, 'params'), stateTensor(averageState(set)), options.ema_decay)
  output(graph, 'norm', norm)
  return graph
}

export function buildClear({ set, dtype }: StepContext): Graph {
  const graph = createGraph('clear gradients', dtype)
  clear(graph, flatBuffer(set, 'grads'))
  return graph
}

/** The average starts as the parameters; undefined when there is none. */
export function buildAverage({ set, options, dtype }: StepContext): Graph | undefined {
  if (options.ema_decay === undefined) return undefined
  const graph = createGraph('average', dtype)
  castInto(graph, flatBuffer(set, 'params'), stateTensor(averageState(set)))
  return graph
}

/** The bf16 copy of the parameters after they were set from outside; undefined in f32, where there is none. */
export function buildShadow({ set, dtype }: StepContext): Graph | undefined {
  if (dtype === 'f32') return undefined
  const graph = createGraph('shadow', dtype)
  castInto(graph, flatBuffer(set, 'params'), flatBuffer(set, 'shadow'))
  return graph
}
