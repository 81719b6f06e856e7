/** What a run needs in memory, and which settings would make it fit: known before anything is allocated. */
import * as os from 'node:os'
import { formatBytes } from '../base/units'
import type { BatchPlan } from '../dataset'
import { parseLoraFile } from '../formats/lora-file'
import { openSafetensors } from '../formats/safetensors'
import { createGraph } from '../graph/graph'
import { planMemory } from '../graph/passes/plan'
import type { ComputeDType } from '../graph/tensor'
import { latentDownscale } from '../models/families/sd15'
import { createScope, type NetworkName, type Scope } from '../models/scope'
import { optimizerOptions } from '../optimizers'
import { heldPrecision } from '../pipeline/base-precision'
import { heldBase, weightMemory, type HeldBase, type WeightMemory } from '../pipeline/held-base'
import { openedWeights } from '../pipeline/opened'
import { buildDecoder, buildEncoder, buildTextEncoder, type LatentSize } from '../pipeline/networks'
import type { Pipeline } from '../pipeline/pipeline'
import { modulesOf } from '../pipeline/runtime'
import type { Recipe } from '../recipe'
import { baseOptionsOf, trainerInput } from './from-recipe'
import type { StepShape } from './objective'
import { planTraining, type TrainingPlan } from './plan'
import { createStepContext } from './trainer'
import { trainerSchema } from '../recipe/trainer-options'

/** Bytes. One arena serves everything, so it is as large as the largest user needs it. */
export interface MemoryReport extends TrainingPlan {
  computeDtype: ComputeDType
  /** VAE with its intermediates, before the first step. */
  caching: number
  /** VAE and text encoder beside the training, while samples are drawn; 0 without samples. */
  previews: number
  /** The most at any time. */
  peak: number
}

type PlanBase = Pick<Pipeline, 'base' | 'device'>

/** @param shapes every batch shape of the run, or the largest ones. Reads headers of the model, nothing else */
export function planRun({ base, device }: PlanBase, recipe: Recipe, shapes: readonly StepShape[]): MemoryReport {
  const options = trainerSchema.parse(trainerInput(recipe))
  const continued =
    recipe.continue_from === undefined
      ? undefined
      : parseLoraFile(openSafetensors(recipe.continue_from), modulesOf(base))
  const baseOptions = baseOptionsOf(recipe)
  const plan = planTraining(createStepContext({ base, device, baseOptions }, options, continued), shapes)
  const largest = shapes.reduce((a, b) => (a.height * a.width >= b.height * b.width ? a : b))
  const { config } = base
  const as = { dtype: device.computeDtype, held: heldBase(base, device, baseOptions) }
  const network = (name: NetworkName, build: (scope: Scope) => void) => planNetwork(as, name, build)
  const trainsVae = recipe.train.vae_lr > 0
  const vae = network('vae', (scope) => buildEncoder(scope, config, { ...largest, batch: 1 }))
  const text = network('text_encoder', (scope) => buildTextEncoder(scope, config, 1, recipe.train.clip_skip))
  const caching = trainsVae ? 0 : vae.weights + vae.arena
  const arena = Math.max(plan.arena, trainsVae ? 0 : vae.arena, text.arena)
  const staging = Math.max(plan.staging, text.staging)
  const total = plan.total - plan.arena - plan.staging + arena + staging
  let previews = 0
  if (recipe.samples) {
    const size = latentSizeOf(recipe.samples)
    const decoder = network('vae', (scope) => buildDecoder(scope, config, size))
    previews = total - arena + decoder.weights + text.weights + Math.max(arena, decoder.arena)
  }
  return {
    ...plan,
    arena,
    staging,
    total,
    computeDtype: device.computeDtype,
    caching,
    previews,
    peak: Math.max(total, caching, previews),
  }
}

function latentSizeOf({ width, height }: NonNullable<Recipe['samples']>): LatentSize {
  return { batch: 1, width: (width ?? 512) / latentDownscale, height: (height ?? 512) / latentDownscale }
}

/** Bytes of a network's weights and of its intermediates. */
function planNetwork(
  as: { dtype: ComputeDType; held: HeldBase },
  name: NetworkName,
  build: (scope: Scope) => void,
): WeightMemory & { arena: number } {
  const graph = createGraph(name, as.dtype)
  const scope = createScope(graph, name)
  build(scope)
  return { ...weightMemory(scope.requests.values(), openedWeights(graph.ops), as), arena: planMemory(graph).arenaBytes }
}

/** Text states of 75, 150 or 225 tokens with their start and end. */
export function stepShapes({ train }: Pick<Recipe, 'train'>, { shapes }: Pick<BatchPlan, 'shapes'>): StepShape[] {
  const tokens = train.vae_lr > 0 ? 0 : train.max_token_length + 2
  return shapes.map(({ size, batchSize }) => ({
    batch: batchSize,
    height: size.height / latentDownscale,
    width: size.width / latentDownscale,
    tokens,
  }))
}

/** The shapes that decide the arena: the largest, and up to two within 3 % of it, as aspect ratios differ a little. */
export function largestShapes(shapes: readonly StepShape[]): StepShape[] {
  const size = ({ batch, height, width }: StepShape) => batch * height * width
  const sorted = [...shapes].sort((a, b) => size(b) - size(a))
  return sorted.filter((shape) => size(shape) >= 0.97 * size(sorted[0]!)).slice(0, 3)
}

export interface Fitting {
  /** As for `--set`. */
  settings: string[]
  peak: number
}

/** A setting as for `--set`, and what it makes of a recipe. */
interface Change {
  setting: string
  apply(recipe: Recipe): Recipe
}

/**
 * Settings with which the run fits, the mildest first; at most two, of which neither contains the other, and empty when
 * none was found. Other resolutions are estimated with a square.
 */
export function findFitting(pipe: PlanBase, recipe: Recipe, shapes: readonly StepShape[], budget: number): Fitting[] {
  const shape = largestShapes(shapes)[0]!
  const side = Math.round(Math.sqrt(shape.height * shape.width)) * latentDownscale
  const smaller = [768, 640, 512, 448, 384, 320, 256].filter((resolution) => resolution < side)
  const { blocks, adamw8bit, stored, offload } = possibleChanges(pipe.device, recipe)
  const changes = [...blocks, ...adamw8bit]
  const single = shape.batch > 1
  const candidates: { changes: Change[]; single?: boolean; side?: number }[] = [
    { changes: blocks },
    { changes: adamw8bit },
    { changes },
    { changes: [], single },
    { changes: blocks, single },
    ...stored.flatMap((change) => [{ changes: [change] }, { changes: [...changes, change] }]),
    { changes: [...changes, ...stored.slice(-1)], single },
    { changes: [...changes, ...offload], single },
    { changes: [...changes, ...stored.slice(-1), ...offload], single },
    ...smaller.map((resolution) => ({ changes: blocks, single, side: resolution })),
    ...smaller.map((resolution) => ({ changes: [...changes, ...stored.slice(-1)], single, side: resolution })),
  ]
  const found: Fitting[] = []
  const seen = new Set<string>([''])
  for (const candidate of candidates) {
    const settings = [
      ...candidate.changes.map(({ setting }) => setting),
      ...(candidate.single ? ['dataset.batch_size=1'] : []),
      ...(candidate.side === undefined ? [] : [`dataset.resolution=${candidate.side}`]),
    ]
    const isMore = found.some((other) => other.settings.every((setting) => settings.includes(setting)))
    if (isMore || seen.has(settings.join()) || found.length === 2) continue
    seen.add(settings.join())
    const changed = candidate.changes.reduce((sum, change) => change.apply(sum), recipe)
    const latents = candidate.side === undefined ? undefined : candidate.side / latentDownscale
    const batch = candidate.single ? 1 : shape.batch
    const { peak } = planRun(pipe, changed, [{ ...shape, batch, ...(latents && { height: latents, width: latents }) }])
    if (peak <= budget) found.push({ settings, peak })
  }
  return found
}

/** What takes less memory and is not chosen yet. Fewer bits help only where the device keeps them, and what is frozen. */
function possibleChanges(device: Pipeline['device'], recipe: Recipe) {
  const blocks: Change = {
    setting: 'train.checkpointing=blocks',
    apply: (now) => ({ ...now, train: { ...now.train, checkpointing: 'blocks' } }),
  }
  const adamw8bit: Change = {
    setting: 'optimizer.kind=adamw8bit',
    apply: (now) => ({ ...now, optimizer: optimizerOptions.parse({ ...now.optimizer, kind: 'adamw8bit' }) }),
  }
  const stored = (['int8', 'nf4'] as const).map(
    (precision): Change => ({
      setting: `base_precision=${precision}`,
      apply: (now) => ({ ...now, base_precision: precision }),
    }),
  )
  const offload: Change = { setting: 'base_offload=0.8', apply: (now) => ({ ...now, base_offload: 0.8 }) }
  const storesFewerBits = heldPrecision(device, 'nf4') !== 'full' && recipe.adapter.kind !== 'full'
  const known = { full: 0, int8: 1, fp8: 1, nf4: 2 }[recipe.base_precision]
  return {
    blocks: recipe.train.checkpointing === 'blocks' ? [] : [blocks],
    adamw8bit: recipe.optimizer.kind === 'adamw' ? [adamw8bit] : [],
    stored: storesFewerBits ? stored.slice(known) : [],
    offload: storesFewerBits && recipe.base_offload < 0.8 ? [offload] : [],
  }
}

/** What a run may use: of a card what is free, otherwise the machine's memory, or less in a container with a limit. */
export function memoryLimit({ memoryBudget }: { memoryBudget?: number } = {}): number {
  if (memoryBudget !== undefined) return memoryBudget
  const constrained = process.constrainedMemory()
  return constrained > 0 && constrained < os.totalmem() ? constrained : os.totalmem()
}

export function renderMemory(report: MemoryReport): string {
  const rows: [string, number][] = [
    ['weights of the base', report.weights],
    ...(report.staging > 0 ? [['weights on their way', report.staging] as [string, number]] : []),
    ['what is trained', report.params + report.shadow],
    ['gradients', report.grads],
    ['optimizer', report.optimizer],
    ['intermediates', report.arena],
    ['in all', report.total],
    ...(report.host > 0 ? [['weights left with the host', report.host] as [string, number]] : []),
    ...(report.caching > report.total ? [['before the first step (VAE)', report.caching] as [string, number]] : []),
    ...(report.previews > 0 ? [['while samples are drawn', report.previews] as [string, number]] : []),
  ]
  const width = Math.max(...rows.map(([label]) => label.length))
  const [largest] = report.shapes
  const lines = rows.map(([label, bytes]) => `  ${label.padEnd(width)}  ${formatBytes(bytes).padStart(9)}`)
  return [`Memory (${report.computeDtype}${largest ? `, largest batch ${largest.shape}` : ''}):`, ...lines].join('\n')
}
