/** Arguments that several commands share, and values that need reading. */
import type { Argv, InferredOptionTypes } from 'yargs'
import { LorikeetError } from '../base/errors'
import { basePrecisions } from '../pipeline/base-precision'
import { openDevice, type Device } from '../pipeline/device'
import type { BaseOptions } from '../pipeline/held-base'

const device = {
  device: { type: 'string', default: 'cpu', describe: 'Where to compute: cpu, cuda, cuda:1, .., cuda-sim' },
  threads: { type: 'number', describe: 'Threads of the cpu device; all cores unless set' },
  'compute-dtype': {
    choices: ['auto', 'f32', 'bf16'] as const,
    default: 'auto' as const,
    describe: 'What is computed in; auto takes bf16 where the hardware has it',
  },
} as const

export type DeviceArguments = InferredOptionTypes<typeof device>

/** How and where a command holds the base. */
export const baseOptions = {
  'base-precision': {
    choices: basePrecisions,
    default: 'full' as const,
    describe: 'How frozen matrices are stored: in full, in 8 bits (int8, fp8) or in 4 (nf4)',
  },
  'base-offload': {
    type: 'number',
    default: 0,
    describe: 'Share of the layers\' weights that a card leaves in the memory of the machine and fetches for each use, 0 to 1',
  },
} as const

/** @throws LorikeetError (usage) for a share that is none */
export function baseOptionsFrom(args: InferredOptionTypes<typeof baseOptions>): BaseOptions {
  const share = args['base-offload']
  if (!(share >= 0 && share <= 1))
    throw new LorikeetError('usage', 'not a share', { where: '--base-offload', expected: '0 to 1', received: String(share) })
  return { basePrecision: args['base-precision'], baseOffload: share }
}

const json = {
  json: { type: 'boolean', default: false, describe: 'One JSON object a line on standard output' },
} as const

export function deviceArguments<T>(parser: Argv<T>): Argv<T & DeviceArguments> {
  return parser.options(device) as Argv<unknown> as Argv<T & DeviceArguments>
}

export function jsonArgument<T>(parser: Argv<T>): Argv<T & { json: boolean }> {
  return parser.options(json) as Argv<unknown> as Argv<T & { json: boolean }>
}

const recipe = {
  set: {
    type: 'string',
    array: true,
    default: [] as string[],
    requiresArg: true,
    describe: 'Override a value: train.steps=500',
  },
  budget: {
    type: 'string',
    requiresArg: true,
    describe: 'Memory that the run may take, such as 12GiB; all that is free on the device unless set',
  },
} as const

export type RecipeArguments = InferredOptionTypes<typeof recipe> & DeviceArguments & { recipe: string; json: boolean }

/** Recipe, overrides, device, budget and --json: what commands on recipes share. */
export function recipeArguments<T>(parser: Argv<T>): Argv<T & RecipeArguments> {
  const describe = 'Recipe in YAML; docs/reference/recipe.md lists its keys'
  const own = parser.positional('recipe', { type: 'string', demandOption: true, describe }).options(recipe)
  return jsonArgument(deviceArguments(own)) as Argv<unknown> as Argv<T & RecipeArguments>
}

/** @throws LorikeetError (usage) for a device that is not there or a number of threads that makes no sense */
export function deviceFrom(args: DeviceArguments & { budget?: string }): Device {
  const { device, threads, 'compute-dtype': dtype, budget } = args
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 1024))
    throw new LorikeetError('usage', 'is wrong', {
      where: '--threads',
      expected: 'a whole number from 1',
      received: String(threads),
    })
  return openDevice(device, {
    computeDtype: dtype,
    ...(threads !== undefined && { threads }),
    ...(budget !== undefined && { memoryBudget: parseBytes('--budget', budget) }),
  })
}

const units: Readonly<Record<string, number>> = {
  b: 1,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
}

/** "12GiB", "12 GB", "12g" -> bytes. @throws LorikeetError (usage) */
export function parseBytes(where: string, text: string): number {
  const [, number, unit] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*$/i.exec(text) ?? []
  const factor = unit === undefined ? undefined : units[unit.toLowerCase()]
  if (number === undefined || factor === undefined)
    throw new LorikeetError('usage', 'is no amount of memory', { where, expected: 'e.g. 12GiB', received: text })
  return Math.floor(Number(number) * factor)
}
