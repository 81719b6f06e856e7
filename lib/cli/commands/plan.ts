/** `lorikeet plan`: what a recipe would train and what memory that takes, without training. Works without the addon. */
import type { Argv } from 'yargs'
import { LorikeetError } from '../../base/errors'
import { formatBytes } from '../../base/units'
import { renderReport } from '../../dataset'
import { openBaseModel } from '../../pipeline/base-model'
import { notesOn } from '../../pipeline/base-precision'
import type { Device } from '../../pipeline/device'
import { readRecipe } from '../../recipe'
import { prepareData } from '../../train/prepare'
import { memoryLimit, renderMemory } from '../../train/report'
import { deviceFrom, parseBytes, recipeArguments, type RecipeArguments } from '../arguments'
import { defineCommand } from '../command'
import { createRenderer, type Renderer } from '../render'

export const planCommand = defineCommand<RecipeArguments>({
  command: 'plan <recipe>',
  describe: 'Show what a recipe would train, and the memory that it takes',
  builder: (parser: Argv) => recipeArguments(parser),
  async handler(args) {
    const renderer = createRenderer(args.json)
    const recipe = readRecipe(args.recipe, args.set)
    const base = openBaseModel(recipe.base)
    const device = planningDevice(args, renderer)
    for (const note of notesOn(device, recipe.base_precision)) renderer.say(`Note: ${note}`)
    const budget = args.budget === undefined ? memoryLimit(device) : parseBytes('--budget', args.budget)
    const { memory } = await prepareData({ base, device, tokenize: (text) => base.tokenizer.tokenize(text) }, recipe, {
      budget,
      onEvent(event) {
        if (event.kind !== 'report') return
        const { dataset, memory } = event
        renderer.print(`${renderReport(dataset)}\n${renderMemory(memory)}`, { event: 'report', dataset, memory })
      },
    })
    renderer.print(`It fits: ${formatBytes(memory.peak)} of ${formatBytes(budget)}`, {
      event: 'fits',
      peak: memory.peak,
      budget,
    })
  },
})

/** What a card has of which we know nothing: the least that Lorikeet is made for. */
const usualCard = 12 * 2 ** 30

/** The device; where the addon is not built or has no such card, one that can only be planned for. */
function planningDevice(args: RecipeArguments, renderer: Renderer): Device {
  try {
    return deviceFrom(args)
  } catch (error) {
    const isCard = /^cuda(:\d+)?$/.test(args.device)
    if (error instanceof LorikeetError && error.kind === 'usage' && !isCard) throw error
    const wanted = args['compute-dtype']
    const computeDtype = wanted === 'auto' ? 'bf16' : wanted
    const reason = error instanceof LorikeetError && error.kind === 'usage' ? error.problem : 'the native addon is not there'
    const size = isCard && args.budget === undefined ? ` and a card with ${formatBytes(usualCard)} (--budget sets another size)` : ''
    renderer.say(`Note: ${reason}, so the plan is for ${computeDtype}${size}`)
    const openEngine = () => {
      throw error
    }
    const memory = isCard ? { memoryBudget: usualCard } : {}
    return { name: args.device, description: args.device, computeDtype, ...memory, notes: [], openEngine }
  }
}
