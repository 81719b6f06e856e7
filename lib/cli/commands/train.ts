/** `lorikeet train`: renders what a run tells, and stops it well on Ctrl+C. */
import type { Argv, InferredOptionTypes } from 'yargs'
import { LorikeetError } from '../../base/errors'
import { formatBytes } from '../../base/units'
import { renderReport } from '../../dataset'
import { readRecipe } from '../../recipe'
import type { TrainEvent } from '../../train/events'
import { trainRecipe } from '../../train/loop'
import { renderMemory } from '../../train/report'
import { deviceFrom, parseBytes, recipeArguments, type RecipeArguments } from '../arguments'
import { defineCommand } from '../command'
import { storageNote } from '../loading'
import { createRenderer, type Bar, type Renderer } from '../render'

const options = {
  resume: { type: 'boolean', default: false, describe: 'Go on from the newest checkpoint, if there is one' },
  overwrite: { type: 'boolean', default: false, describe: 'Start again, removing an earlier result of this name' },
} as const

type Arguments = InferredOptionTypes<typeof options> & RecipeArguments

/** Of a process that a signal ended, as shells count. */
const interruptedCode = 130

export const trainCommand = defineCommand<Arguments>({
  command: 'train <recipe>',
  describe: 'Train a LoRA from a recipe',
  builder: (parser: Argv) => recipeArguments(parser.options(options)),
  async handler(args) {
    if (args.resume && args.overwrite)
      throw new LorikeetError('usage', 'either goes on or starts again', {
        where: '--resume, --overwrite',
        fix: 'Give one of them',
      })
    const renderer = createRenderer(args.json)
    const recipe = readRecipe(args.recipe, args.set)
    const device = deviceFrom(args)
    renderer.print(`Device: ${device.description}, computing in ${device.computeDtype}`)
    const stop = stopOnSignal(renderer)
    const rendering = renderEvents(renderer)
    try {
      const result = await trainRecipe(recipe, {
        device,
        resume: args.resume,
        overwrite: args.overwrite,
        signal: stop.signal,
        onEvent: rendering.onEvent,
        ...(args.budget !== undefined && { budget: parseBytes('--budget', args.budget) }),
      })
      rendering.end()
      renderer.print(result.outcome === 'done' ? `Done: ${result.file}` : undefined, {
        event: result.outcome,
        ...result,
      })
      if (result.outcome === 'interrupted') {
        const at = result.step > 0 ? ` after step ${result.step} of ${result.steps}` : ' before the first step'
        renderer.say(`Stopped${at}. To go on: lorikeet train ${args.recipe} --resume`)
        process.exitCode = interruptedCode
      }
    } finally {
      rendering.end()
      stop.remove()
    }
  },
})

/**
 * The first signal asks the run to stop after its step; the second ends the process, which loses that step and no file.
 */
function stopOnSignal(renderer: Renderer): { signal: AbortSignal; remove(): void } {
  const controller = new AbortController()
  const onSignal = () => {
    if (controller.signal.aborted) process.exit(interruptedCode)
    controller.abort()
    renderer.say('Stopping: the step under way is finished and a checkpoint saved. Press Ctrl+C again to stop at once')
  }
  const names = ['SIGINT', 'SIGTERM'] as const
  for (const name of names) process.on(name, onSignal)
  return {
    signal: controller.signal,
    remove: () => names.forEach((name) => process.off(name, onSignal)),
  }
}

const tasks: Record<Extract<TrainEvent, { kind: 'progress' }>['task'], string> = {
  pictures: 'Reading pictures',
  weights: 'Loading weights',
  latents: 'Encoding pictures',
  captions: 'Encoding captions',
  sample: 'Drawing samples',
}

function renderEvents(renderer: Renderer): { onEvent(event: TrainEvent): void; end(): void } {
  let bar: { label: string; bar: Bar } | undefined
  const end = () => {
    bar?.bar.end()
    bar = undefined
  }
  const barOf = (label: string, total: number): Bar => {
    if (bar?.label !== label) {
      end()
      bar = { label, bar: renderer.bar(label, total) }
    }
    return bar.bar
  }
  return {
    end,
    onEvent(event) {
      switch (event.kind) {
        case 'progress':
          barOf(tasks[event.task], event.total).update(
            event.done,
            event.task === 'weights' ? formatBytes(event.done) : '',
          )
          break
        case 'report':
          end()
          renderer.print(`${renderReport(event.dataset)}\n${renderMemory(event.memory)}`, recordOf(event))
          break
        case 'step': {
          const { record, steps } = event
          renderer.print(undefined, { event: 'step', ...record, steps })
          barOf('Training', steps).update(record.step, `loss ${record.averageLoss.toFixed(4)}`)
          break
        }
        case 'stored':
          end()
          storageNote(renderer)(event.network, event.report)
          break
        case 'note':
          renderer.print(undefined, recordOf(event))
          renderer.say(`Note: ${event.text}`)
          break
        case 'resumed':
          renderer.print(undefined, recordOf(event))
          renderer.say(`Going on after step ${event.step} of ${event.steps}, from ${event.file}`)
          break
        case 'saved':
          renderer.print(undefined, recordOf(event))
          if (event.lora !== undefined) renderer.say(`Saved ${event.lora}`)
          break
        case 'sample': {
          const { png: _, ...record } = event.record
          renderer.print(undefined, { event: 'sample', ...record })
          break
        }
      }
    },
  }
}

function recordOf({ kind, ...fields }: TrainEvent): { event: string } & Record<string, unknown> {
  return { event: kind, ...fields }
}
