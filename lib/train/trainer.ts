/**
 * A trainer on a pipeline: the adapter (or, in full training, the networks' own weights), gradients and optimizer state in
 * flat arenas on the device, and one asynchronous native call a step.
 */
import type { AdaptedModule, FileTensor, ParameterAccess } from '../adapters/adapter'
import { createLora, loraModuleName, ranksFromOptions, type RankOf } from '../adapters/lora'
import { LorikeetError } from '../base/errors'
import { parseLoraFile, requireLoraFits, type LoraFile } from '../formats/lora-file'
import { openSafetensors, readTensor, writeSafetensors, type TensorData } from '../formats/safetensors'
import { bufferBytes, createParameterSet, flatState, type StateBuffer } from '../graph/parameters'
import type { NetworkName, WeightRequest } from '../models/scope'
import type { Engine } from '../native'
import { optimizerOf } from '../optimizers'
import { openBaseModel } from '../pipeline/base-model'
import { heldBase } from '../pipeline/held-base'
import { compileGraph, type CompiledProgram } from '../pipeline/compile'
import type { Pipeline } from '../pipeline/pipeline'
import { modulesOf } from '../pipeline/runtime'
import { freshSource, weightSpec } from '../pipeline/weight-specs'
import { checkpointMetadata, checkpointTensors, readLocation } from './full-checkpoint'
import { fullFromFile, fullToFile } from './full-weights'
import { formatShape, readObjective, type StepShape } from './objective'
import { planTraining, type TrainingPlan } from './plan'
import {
  buildAverage,
  buildClear,
  buildShadow,
  buildStep,
  buildUpdate,
  stateBuffers,
  trainedNetworks,
  type StepContext,
} from './step'
import { prepareStep, type PreparedStep, type StepInput, type StepRules } from './step-input'
import { trainerSchema, type TrainerInput, type TrainerOptions } from '../recipe/trainer-options'

export interface StepResult {
  /** Mean over the micro-batches. */
  loss: number
  perSample: number[]
  /** Norm of all gradients together, before clipping. */
  gradNorm: number
  /** The norm was not finite, so nothing was updated. */
  skipped: boolean
}

export interface Trainer {
  readonly options: TrainerOptions
  /** Length of the flat arena. */
  readonly elements: number
  /** The layers that carry an adapter; empty in full training. */
  readonly modules: readonly AdaptedModule[]
  /** Updates made so far; the next one is number `updates + 1`. */
  updates: number
  /**
   * One update from one or several micro-batches.
   * @param rateFactor what the learning-rate schedule says, 0 to 1
   */
  step(micro: StepInput | readonly StepInput[], rateFactor?: number): Promise<StepResult>
  /** The loss alone; nothing changes. */
  evaluate(step: StepInput): Promise<Pick<StepResult, 'loss' | 'perSample'>>
  /** The gradients of the last step, by the file's key names. */
  gradients(): Map<string, FileTensor>
  /** What is trained, by the file's key names; alphas included. */
  adapter(): Map<string, FileTensor>
  /** Sets what is trained from a file. */
  load(file: string): Promise<void>
  /** What `save` writes: the adapter, or in full training a complete checkpoint, with the metadata that it cannot do without. */
  result(dtype: 'F32' | 'F16' | 'BF16'): Promise<{ tensors: TensorData[]; metadata: Record<string, string> }>
  /** Writes the result, atomically, and reads it back. */
  save(file: string, options?: { metadata?: Record<string, string>; dtype?: 'F32' | 'F16' | 'BF16' }): Promise<void>
  /** What a checkpoint needs to hold: the parameters, and what is kept besides them from update to update. */
  readonly stateBuffers: readonly StateBuffer[]
  /** The bytes of one, as they lie on the device. */
  readState(buffer: string): Uint8Array
  /** Call `refresh` when all are written. */
  writeState(buffer: string, bytes: Uint8Array): void
  /** Takes over parameters that were written from outside. */
  refresh(): Promise<void>
  /** The memory of these micro-batch shapes, without allocating anything. */
  plan(shapes: readonly StepShape[]): TrainingPlan
  /** Frees programs, parameters and optimizer state; the pipeline stays open. */
  close(): void
}

/**
 * @throws LorikeetError (usage) for settings that contradict each other or the model, (input) for a LoRA file to go on from
 *   that does not fit
 */
export async function createTrainer(pipe: Pipeline, input: TrainerInput): Promise<Trainer> {
  const options = trainerSchema.parse(input)
  if (pipe.runtime.live())
    throw new LorikeetError('usage', 'there is a trainer on this pipeline already', { fix: 'Close it first: trainer.close()' })
  const continued = options.continue_from === undefined ? undefined : openContinued(pipe, options.continue_from)
  const context = createStepContext(pipe, options, continued)
  const { engine } = pipe.runtime
  const survey = buildStep(context, surveyShape(pipe))
  if (context.set.parameters.size === 0)
    throw new LorikeetError('usage', 'nothing would be trained', { fix: 'Choose a network and an adapter that has layers in it' })
  for (const [name, bytes] of bufferBytes(context.set, stateBuffers(context)))
    engine.createBuffer(name, bytes, name === 'shadow' ? 'bf16' : 'f32')
  await initialise(pipe, context, survey.requests)
  const { trainer, startAverage } = assemble(pipe, context, survey.requests)
  if (continued) await trainer.load(continued.file.path)
  await trainer.refresh()
  await startAverage()
  pipe.runtime.setLive({
    adapters: context.adapter ? [context.adapter] : [],
    networks: trainedNetworks(options),
    ...(context.adapter ? {} : { trainable: context.set }),
  })
  return trainer
}

/** What the graphs of a run are built from. Also for plans: needs headers of the model only. */
export function createStepContext(
  pipe: Pick<Pipeline, 'base' | 'device'> & Partial<Pick<Pipeline, 'baseOptions' | 'runtime'>>,
  options: TrainerOptions,
  continued?: LoraFile,
): StepContext {
  const { base, device, baseOptions = {} } = pipe
  checkOptions(options, base)
  const set = createParameterSet(device.computeDtype)
  const rankOf = continued ? ranksFromFile(continued) : options.adapter.kind === 'lora' ? ranksFromOptions(options.adapter) : undefined
  const prediction = options.prediction_type ?? base.predictionType
  return {
    config: base.config,
    dtype: device.computeDtype,
    held: heldBase(base, device, baseOptions),
    options,
    objective: readObjective(options, { prediction, zeroTerminalSnr: base.zeroTerminalSnr }),
    set,
    adapter: rankOf && createLora(set, rankOf),
    frozen: pipe.runtime?.adapters() ?? [],
  }
}

function checkOptions(options: TrainerOptions, base: Pipeline['base']): void {
  const { networks, adapter, prediction_type: prediction } = options
  const trained = trainedNetworks(options)
  const refuse = (problem: string, fix: string) => {
    throw new LorikeetError('usage', problem, { fix })
  }
  if (trained.length === 0) refuse('no network is trained', 'Give networks.unet a learning rate')
  if (networks.vae && (trained.length > 1 || adapter.kind !== 'full'))
    refuse('the VAE is trained by itself and in full', 'Set adapter.kind to full and leave the other networks out')
  if (prediction && base.predictionTypeStated && prediction !== base.predictionType)
    throw new LorikeetError('usage', 'the model predicts something else', {
      where: 'prediction_type',
      expected: base.predictionType,
      received: prediction,
      fix: 'Leave prediction_type out: the model says it itself',
    })
}

function openContinued(pipe: Pipeline, file: string): LoraFile {
  const lora = parseLoraFile(openSafetensors(file), modulesOf(pipe.base))
  requireLoraFits(lora, pipe.base.family)
  const odd = [...lora.modules.values()].find(({ kind, dora }) => dora || (kind !== 'lora' && kind !== 'locon'))
  if (odd) throw new LorikeetError('input', `training cannot go on from ${odd.rawName}, which is no plain LoRA`, { where: file })
  return lora
}

function ranksFromFile(lora: LoraFile): RankOf {
  return ({ network }, path) => {
    const module = lora.modules.get(`${network === 'text_encoder' ? 'te' : network}.${path}`)
    return module?.rank === undefined ? undefined : { rank: module.rank, alpha: module.alpha ?? module.rank }
  }
}

/** A shape that every network can be built at, to learn the parameters' layout. */
function surveyShape({ base }: Pick<Pipeline, 'base'>): StepShape {
  return { batch: 1, height: 8, width: 8, tokens: base.config.textEncoder.positions }
}

/** Fresh factors of an adapter; in full training the model's own weights, or fresh ones of a random base. */
async function initialise(pipe: Pipeline, { set, options, adapter }: StepContext, requests: readonly WeightRequest[]): Promise<void> {
  const { engine, base } = pipe.runtime
  const byName = new Map(requests.map((request) => [request.name, request]))
  const pieces = [...set.parameters.values()].flatMap((parameter, stream) => {
    const request = byName.get(parameter.name)
    const tensors = request && !adapter ? base.tensors(request.network) : undefined
    if (!request || !tensors) {
      const source = freshSource(parameter.init, parameter.shape, options.seed, stream)
      return [{ offset: parameter.offset * 4, source, shape: [...parameter.shape] }]
    }
    let offset = parameter.offset * 4
    return weightSpec(request, tensors, { dtype: 'f32', seed: 0 }).sources.map((source) => {
      const shape = source.kind === 'file' && source.layout === 'oihw' ? [...parameter.shape] : [...source.shape]
      const piece = { offset, source, shape }
      offset += shape.reduce((a, b) => a * b, 4)
      return piece
    })
  })
  await engine.loadBuffer('params', pieces)
}

function assemble(pipe: Pipeline, context: StepContext, requests: readonly WeightRequest[]): { trainer: Trainer; startAverage: () => Promise<void> } {
  const { runtime } = pipe
  const { engine } = runtime
  const { set, options, adapter } = context
  const groups = trainedNetworks(options)
  const optimizer = optimizerOf(options.optimizer)
  const programs = new Map<string, CompiledProgram>()
  const rules: StepRules = {
    config: context.config,
    objective: context.objective,
    trainsTextEncoder: groups.includes('text_encoder'),
    trainsVae: groups.includes('vae'),
  }
  const compiled = async (key: string, build: () => ReturnType<typeof buildStep> | { graph: ReturnType<typeof buildUpdate> }) => {
    const known = programs.get(key)
    if (known) return known.handle
    const built = build()
    if ('requests' in built) await runtime.loadWeights(built.requests.filter(({ name }) => !set.parameters.has(name)))
    const program = compileGraph(engine, built.graph)
    programs.set(key, program)
    return program.handle
  }
  const stepProgram = ({ shape }: PreparedStep, gradients: boolean) =>
    compiled(`${gradients ? 'step' : 'loss'} ${formatShape(shape)}`, () => buildStep(context, shape, { gradients }))
  const tensors = (buffer: string, alphas: boolean): Map<string, FileTensor> => {
    const read = access(engine, buffer)
    const list = adapter ? adapter.toFile(read, { alphas }) : fullToFile(set, requests, read)
    return new Map(list.map((tensor) => [tensor.name, tensor]))
  }

  const startAverage = async () => {
    const average = buildAverage(context)
    if (average) await engine.run([{ program: await compiled('average', () => ({ graph: average })), inputs: {} }])
  }

  const trainer: Trainer = {
    options,
    elements: set.elements,
    modules: adapter?.modules() ?? [],
    updates: 0,
    async step(micro, rateFactor = 1) {
      const prepared = (Array.isArray(micro) ? (micro as readonly StepInput[]) : [micro as StepInput]).map((one) => prepareStep(one, rules))
      const clearing = { program: await compiled('clear', () => ({ graph: buildClear(context) })), inputs: {} }
      const updating = await compiled('update', () => ({ graph: buildUpdate(context) }))
      const rates = groups.map((group) => (options.networks[group]?.learning_rate ?? 0) * rateFactor)
      const scalars = optimizer.scalars(options.optimizer, trainer.updates + 1, rates)
      const steps = []
      for (const one of prepared) steps.push({ program: await stepProgram(one, true), inputs: one.inputs })
      const outputs = await engine.run([clearing, ...steps, { program: updating, inputs: { scalars } }])
      const gradNorm = outputs.at(-1)?.norm?.[0] ?? NaN
      const skipped = !Number.isFinite(gradNorm)
      if (!skipped) trainer.updates++
      const micros = outputs.slice(1, -1)
      return {
        loss: micros.reduce((sum, out) => sum + (out.loss?.[0] ?? NaN), 0) / micros.length,
        perSample: micros.flatMap((out) => [...(out.per_sample ?? [])]),
        gradNorm,
        skipped,
      }
    },
    async evaluate(step) {
      const prepared = prepareStep(step, rules)
      const [out] = await engine.run([{ program: await stepProgram(prepared, false), inputs: prepared.inputs }])
      return { loss: out?.loss?.[0] ?? NaN, perSample: [...(out?.per_sample ?? [])] }
    },
    gradients: () => tensors('grads', false),
    adapter: () => tensors('params', true),
    async load(file) {
      const found = adapter ? loraTensors(pipe, file, adapter.modules()) : networkTensors(file, groups)
      const params = access(engine, 'params')
      const left = adapter ? adapter.fromFile(found, params) : fullFromFile(set, requests, found, params)
      if (left.length > 0)
        throw new LorikeetError('input', `${left.length} tensors have no place in what is trained, the first is ${left[0]}`, { where: file })
      await trainer.refresh()
      await startAverage()
    },
    async result(dtype) {
      const trained = tensors(options.ema_decay === undefined ? 'params' : 'average', true)
      if (adapter) return { tensors: [...trained.values()].map((tensor) => ({ ...tensor, dtype })), metadata: {} }
      return { tensors: await checkpointTensors(pipe, trained, dtype), metadata: checkpointMetadata(pipe.base) }
    },
    async save(file, { metadata = {}, dtype = 'F32' } = {}) {
      const result = await trainer.result(dtype)
      writeSafetensors(file, result.tensors, { ...metadata, ...result.metadata })
    },
    stateBuffers: [flatState(set, 'params'), ...stateBuffers(context)],
    readState: (buffer) => engine.readBytes(buffer),
    writeState: (buffer, bytes) => engine.writeBytes(buffer, bytes),
    async refresh() {
      const shadow = buildShadow(context)
      if (shadow) await engine.run([{ program: await compiled('shadow', () => ({ graph: shadow })), inputs: {} }])
    },
    plan: (shapes) => planTraining(context, shapes),
    close() {
      runtime.setLive(undefined)
      for (const { handle } of programs.values()) engine.release(handle)
      programs.clear()
      for (const name of bufferBytes(set, stateBuffers(context)).keys()) engine.removeBuffer(name)
    },
  }
  return { trainer, startAverage }
}

/** The weights of the trained networks in another checkpoint of the same sizes. */
function networkTensors(location: string, networks: readonly NetworkName[]): Map<string, FileTensor> {
  const other = openBaseModel(location)
  const all = networks.flatMap((network) => [...(other.tensors(network) ?? [])])
  return new Map(all.map(([name, at]) => [name, { name, shape: at.shape, data: readLocation(at) }]))
}

/** The factors of a LoRA file of any naming style, by kohya's names. */
function loraTensors(pipe: Pipeline, file: string, trained: readonly AdaptedModule[]): Map<string, FileTensor> {
  const lora = parseLoraFile(openSafetensors(file), modulesOf(pipe.base))
  requireLoraFits(lora, pipe.base.family)
  const scales = new Map(trained.map(({ network, path, rank, alpha }) => [`${network}/${path}`, alpha / rank]))
  const tensors = new Map<string, FileTensor>()
  for (const { network, path = '', rawName, scale, tensors: roles } of lora.modules.values()) {
    const ours = scales.get(`${network === 'te' ? 'text_encoder' : 'unet'}/${path}`)
    // The factors mean nothing without it.
    if (ours !== undefined && Math.abs(ours - scale) > 1e-6 * ours)
      throw new LorikeetError('input', `alpha / rank of ${rawName} is another`, {
        where: file,
        expected: String(ours),
        received: String(scale),
        fix: 'Set rank and alpha as in the file, or give it as continue_from, which takes them over',
      })
    for (const role of ['lora_down', 'lora_up'] as const) {
      const stored = roles.get(role)
      if (stored === undefined) continue
      const name = `${loraModuleName(network === 'te' ? 'text_encoder' : 'unet', path)}.${role}.weight`
      tensors.set(name, { name, shape: lora.file.tensors.get(stored)?.shape ?? [], data: readTensor(lora.file, stored) })
    }
  }
  return tensors
}

function access(engine: Engine, buffer: string): ParameterAccess {
  return {
    read: (offset, count) => engine.readBuffer(buffer, offset * 4, count),
    write: (offset, values) => engine.writeBuffer(buffer, offset * 4, values),
  }
}
