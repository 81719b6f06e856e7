/** A whole training run: from a recipe to a LoRA file. Everything is a function of the recipe and the step. */
import { LorikeetError } from '../base/errors'
import type { Batch } from '../dataset'
import { notesOn } from '../pipeline/base-precision'
import type { Device } from '../pipeline/device'
import { loadPipeline, type Pipeline } from '../pipeline/pipeline'
import type { Recipe } from '../recipe'
import { createBatchInputs, type BatchInputs } from './batch-input'
import { removeLeftovers, removeRun, runPaths, type RunPaths } from './checkpoint'
import type { OnEvent, TrainResult } from './events'
import { baseOptionsOf, isDue, learningRates, rateFactor, trainerInput } from './from-recipe'
import { openLogs, type LogSink, type StepRecord } from './logs'
import { packageVersion } from '../native-loader'
import { nowSeconds, runMetadata } from './metadata'
import { needsTextEncoder, prepareData, prepareSources, type PreparedData } from './prepare'
import { checkPrompts, drawSamples } from './preview'
import { createSaver, prepareFolder, refuseExisting, resumeFrom, type Saver } from './saves'
import { createTrainer, type StepResult, type Trainer } from './trainer'

export interface TrainOptions {
  device: Device
  /** Go on from the newest checkpoint of the output folder; from the beginning when there is none. */
  resume?: boolean
  /** Remove what an earlier run of this name left. */
  overwrite?: boolean
  /** Bytes that the run may take; what the machine has unless told. */
  budget?: number
  /** When it is aborted, the step under way is finished and a checkpoint saved. */
  signal?: AbortSignal
  onEvent?: OnEvent
}

/**
 * @throws LorikeetError of kind usage (recipe, or it changed since the checkpoint), input (base, dataset), memory
 *   (does not fit), failed (cannot be written), diverged (loss not finite)
 */
export async function trainRecipe(recipe: Recipe, options: TrainOptions): Promise<TrainResult> {
  const { device, onEvent = () => {}, signal } = options
  const paths = runPaths(recipe.output)
  if (recipe.samples) checkPrompts(recipe.samples)
  if (!options.resume && !options.overwrite) refuseExisting(paths)
  for (const text of notesOn(device, recipe.base_precision)) onEvent({ kind: 'note', text })
  const pipe = await loadPipeline(recipe.base, {
    device,
    onProgress: ({ network, done, total }) =>
      onEvent({ kind: 'progress', task: 'weights', done, total, name: network }),
    ...baseOptionsOf(recipe),
    onStored: (network, report) => onEvent({ kind: 'stored', network, report }),
  })
  let trainer: Trainer | undefined
  try {
    const check = () => {
      if (signal?.aborted) throw new Interrupted()
    }
    const data = await prepareData(pipe, recipe, {
      onEvent,
      check,
      ...(options.budget !== undefined && { budget: options.budget }),
    })
    const sources = await prepareSources(pipe, recipe, data.dataset, { onEvent, check })
    trainer = await createTrainer(pipe, trainerInput(recipe))
    prepareFolder(paths, trainer)
    removeLeftovers(paths)
    if (options.overwrite) removeRun(paths)
    const inputsAt = createBatchInputs({ recipe, ...data, config: pipe.base.config, ...sources })
    return await runSteps({
      recipe,
      pipe,
      trainer,
      paths,
      data,
      inputsAt,
      onEvent,
      signal,
      resume: options.resume ?? false,
    })
  } catch (error) {
    if (error instanceof Interrupted) return { outcome: 'interrupted', file: undefined, step: 0, steps: 0 }
    throw error
  } finally {
    trainer?.close()
    pipe.close()
  }
}

/** Before the first step there is nothing to save: what was cached stays. */
class Interrupted extends Error {}

interface Run {
  recipe: Recipe
  pipe: Pipeline
  trainer: Trainer
  paths: RunPaths
  data: PreparedData
  inputsAt: (step: number) => Promise<BatchInputs>
  onEvent: OnEvent
  signal: AbortSignal | undefined
  resume: boolean
}

async function runSteps(run: Run): Promise<TrainResult> {
  const { recipe, paths, data, trainer, pipe, onEvent, signal } = run
  const { steps, stepsPerEpoch } = data.length
  const { output, samples } = recipe
  const facts = await runFacts(run)
  const resumed = run.resume ? await resumeFrom(paths, trainer, { ...facts, recipe }, onEvent) : undefined
  const first = resumed?.step ?? 0
  const startedAt = resumed?.startedAt ?? nowSeconds()
  const metadata = (step: number) =>
    runMetadata({ recipe, ...data, base: pipe.base, device: pipe.device, startedAt }, step)
  const saver = createSaver(paths, trainer, recipe, { ...facts, startedAt }, { metadata, onEvent })
  const logs = openLogs(recipe.logs, { folder: paths.folder, from: first }, (text) => onEvent({ kind: 'note', text }))
  const watch = createWatch(run, saver)
  const record = createRecorder(run, logs)
  const draw = (step: number) => drawAll(run, logs, step)
  const factor = rateFactor(recipe, steps)
  try {
    if (first === 0 && samples?.at_start) await draw(0)
    let next = first < steps ? run.inputsAt(first) : undefined
    for (let step = first; step < steps && next; step++) {
      const { batches, inputs } = await next
      const started = performance.now()
      const running = trainer.step(inputs, factor(step))
      // The next batch is read while the device computes.
      next = step + 1 < steps ? run.inputsAt(step + 1) : undefined
      next?.catch(() => {})
      const result = await running
      const done = step + 1
      record(done, batches, result, factor(step), performance.now() - started)
      await watch(done, batches, result)
      const isSave = isDue(
        done,
        { every_n_steps: output.save_every_n_steps, every_n_epochs: output.save_every_n_epochs },
        stepsPerEpoch,
      )
      const isCheckpoint = isDue(done, { every_n_steps: output.checkpoint_every_n_steps }, stepsPerEpoch)
      if (done === steps) await saver.save(done, paths.final)
      else if (isSave) await saver.save(done, paths.intermediate(done))
      else if (isCheckpoint || signal?.aborted) await saver.save(done)
      if (signal?.aborted && done < steps) return { outcome: 'interrupted', file: undefined, step: done, steps }
      if (samples && isDue(done, samples, stepsPerEpoch)) await draw(done)
    }
    if (first >= steps) {
      onEvent({ kind: 'note', text: `All ${steps} steps were done before` })
      await saver.save(first, paths.final)
    }
    return { outcome: 'done', file: paths.final, step: Math.max(first, steps), steps }
  } finally {
    logs.close()
  }
}

/** What decides whether a checkpoint belongs to this run. */
async function runFacts({ recipe, pipe, data }: Run) {
  const networks = ['unet', 'text_encoder', 'vae'] as const
  const fingerprints = await Promise.all(
    networks.map(async (network) => [network, await pipe.base.fingerprint(network)] as const),
  )
  return {
    recipe: recipe as unknown as Record<string, unknown>,
    steps: data.length.steps,
    dataset: data.dataset.fingerprint,
    base: Object.fromEntries(fingerprints),
    computeDtype: pipe.device.computeDtype,
    software: packageVersion(),
  }
}

/** How many of the last losses the average is over. */
const averagedSteps = 100

function createRecorder({ recipe, data, onEvent }: Run, logs: LogSink) {
  const rates = learningRates(recipe)
  const recent: number[] = []
  return (step: number, batches: readonly Batch[], result: StepResult, factor: number, ms: number): void => {
    if (Number.isFinite(result.loss)) recent.push(result.loss)
    if (recent.length > averagedSteps) recent.shift()
    const record: StepRecord = {
      step,
      epoch: (batches[0]?.epoch ?? 0) + 1,
      loss: result.loss,
      averageLoss: recent.reduce((sum, loss) => sum + loss, 0) / recent.length,
      gradNorm: result.gradNorm,
      learningRates: Object.fromEntries(Object.entries(rates).map(([network, rate]) => [network, rate * factor])),
      ms,
      images: batches.reduce((sum, batch) => sum + batch.items.length, 0),
      skipped: result.skipped,
    }
    logs.step(record)
    onEvent({ kind: 'step', record, steps: data.length.steps })
  }
}

/** A run whose steps are all left out learns nothing: after this many in a row it stops, whatever the recipe says. */
const hopeless = { atStart: 5, later: 50 }

/**
 * Looks at each step's numbers. @throws LorikeetError (diverged) when the run should stop; a checkpoint is saved before
 */
function createWatch({ recipe, data, onEvent }: Run, saver: Saver) {
  let inARow = 0
  return async (step: number, batches: readonly Batch[], { loss, gradNorm, skipped, perSample }: StepResult): Promise<void> => {
    if (Number.isFinite(loss) && !skipped) {
      inARow = 0
      return
    }
    inARow++
    const what = Number.isFinite(loss)
      ? `the gradients are not finite (norm ${gradNorm})`
      : `the loss is not finite (${loss})`
    const items = batches.flatMap((batch) => batch.items)
    const odd = items.filter((_, i) => !Number.isFinite(perSample[i] ?? NaN))
    const names = (odd.length > 0 ? odd : items).map(({ image }) => data.dataset.images[image]?.name).join(', ')
    const isHopeless = inARow >= (step <= hopeless.atStart ? hopeless.atStart : hopeless.later)
    if (recipe.on_non_finite === 'skip' && skipped && !isHopeless) {
      onEvent({ kind: 'note', text: `Step ${step}: ${what} with ${names}; this update is left out` })
      return
    }
    if (skipped && step > 1) await saver.save(step - 1)
    throw new LorikeetError('diverged', what, {
      where: `step ${step} (${names})`,
      fix: isHopeless
        ? 'Every update had to be left out: lower the learning rate, compute in f32, or check the base model'
        : 'Lower the learning rate or compute in f32; with on_non_finite: skip such updates are left out',
    })
  }
}

async function drawAll({ recipe, pipe, paths, data, onEvent }: Run, logs: LogSink, step: number): Promise<void> {
  const { samples, train } = recipe
  if (!samples) return
  const total = samples.prompts.length
  try {
    const records = await drawSamples(pipe, samples, {
      folder: paths.folder,
      step,
      clipSkip: train.clip_skip,
      keep: [
        ...(train.vae_lr > 0 ? ['vae' as const] : []),
        ...(needsTextEncoder(recipe, data.dataset) ? ['text_encoder' as const] : []),
      ],
      onPicture: (i) => onEvent({ kind: 'progress', task: 'sample', done: i, total }),
    })
    for (const record of records) {
      logs.sample(record)
      onEvent({ kind: 'sample', record })
    }
  } catch (error) {
    // A picture is no reason to lose a night.
    if (!(error instanceof LorikeetError)) throw error
    onEvent({ kind: 'note', text: `No samples at step ${step}: ${error.message}` })
  }
}
