/** `lorikeet generate`: text to image. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import type { Argv } from 'yargs'
import { LorikeetError } from '../../base/errors'
import { samplers } from '../../diffusion/samplers'
import { generate, type Generated, type GenerateOptions } from '../../generate/generate'
import { findLoras, parseLoraOption, resolvePrompt } from '../../generate/loras'
import { grid, writePng } from '../../generate/png'
import { notesOn } from '../../pipeline/base-precision'
import type { Values } from '../../pipeline/images'
import { loadPipeline, type Pipeline } from '../../pipeline/pipeline'
import type { LoraUse } from '../../pipeline/runtime'
import { baseOptions, baseOptionsFrom, deviceArguments, deviceFrom, jsonArgument } from '../arguments'
import { defineCommand } from '../command'
import { loadingBar, storageNote } from '../loading'
import { createRenderer, type Renderer } from '../render'

const options = {
  base: { type: 'string', demandOption: true, describe: 'Checkpoint (.safetensors), folder in the layout of diffusers, demo, or random:sd15' },
  ...baseOptions,
  prompt: { type: 'string', demandOption: true, describe: 'What to show; <lora:name:0.8> and (emphasis:1.2) are understood' },
  negative: { type: 'string', default: '', describe: 'What to avoid' },
  out: { type: 'string', demandOption: true, describe: 'PNG file; several become out-1.png, out-2.png, ...' },
  lora: { type: 'string', array: true, default: [] as string[], describe: 'FILE[:STRENGTH[:CLIP]]; may be repeated' },
  'lora-dir': { type: 'string', array: true, default: [] as string[], describe: 'Where LoRAs that the prompt names lie; may be repeated' },
  strengths: { type: 'string', describe: 'E.g. 0,0.4,0.7,1: the same seed at several strengths of the LoRA, and all in one row' },
  sampler: { type: 'string', default: 'dpmpp_2m_karras', choices: samplers.map(({ name }) => name), describe: 'Sampler' },
  steps: { type: 'number', default: 20, describe: 'Steps of the sampler' },
  cfg: { type: 'number', default: 7, describe: 'Classifier-free guidance; 1 switches it off' },
  seed: { type: 'number', describe: 'Seed of the first image; random unless given' },
  width: { type: 'number', describe: 'Pixels, a multiple of 8; what the base was made for unless told' },
  height: { type: 'number', describe: 'As width' },
  count: { type: 'number', default: 1, describe: 'Number of images, with seed, seed + 1, ...' },
  batch: { type: 'number', default: 1, describe: 'Images made at once' },
  'clip-skip': { type: 'number', default: 1, describe: '1 takes the last layer of the text encoder, 2 the last but one' },
  'low-memory': { type: 'boolean', default: false, describe: 'The halves of guidance one after the other' },
} as const

const build = (parser: Argv) => jsonArgument(deviceArguments(parser.options(options)))
type Arguments = ReturnType<typeof build> extends Argv<infer Options> ? Options : never

export const generateCommand = defineCommand<Arguments>({
  command: 'generate',
  describe: 'Make images from text',
  builder: build,
  handler: run,
})

/** One picture to make: where it goes, and with which LoRAs. */
interface Job {
  suffix: string
  loras: readonly LoraUse[]
  prompt: string
}

async function run(args: Arguments): Promise<void> {
  const renderer = createRenderer(args.json)
  checkFolder(args)
  const jobs = planJobs(args)
  const device = deviceFrom(args)
  for (const note of notesOn(device, args['base-precision'])) renderer.say(note)
  const pipe = await loadPipeline(args.base, {
    device,
    ...baseOptionsFrom(args),
    onProgress: loadingBar(renderer),
    onStored: storageNote(renderer),
  })
  try {
    // All strengths of one seed must share it, so a random one is drawn here.
    const seed = args.seed ?? Math.floor(Math.random() * 2 ** 32)
    const rows: Values[][] = []
    for (const [i, job] of jobs.entries()) {
      const result = await make(pipe, job, { args, seed, renderer, label: jobs.length > 1 ? `Sampling ${i + 1} of ${jobs.length}` : 'Sampling' })
      await write(result, job, args, renderer)
      result.images.forEach((image, row) => (rows[row] ??= []).push(image))
    }
    if (args.strengths !== undefined) {
      await writePng(outPath(args.out, ''), grid(rows))
      renderer.print(outPath(args.out, ''), { event: 'grid', file: outPath(args.out, ''), rows: rows.length, columns: jobs.length })
    }
  } finally {
    pipe.close()
  }
}

/** What would only be noticed when the pictures are done. */
function checkFolder({ out }: Arguments): void {
  const folder = path.dirname(out)
  if (!fs.existsSync(folder))
    throw new LorikeetError('usage', 'there is no such folder', { where: folder, fix: 'Create it first, or correct --out' })
}

/** LoRA files are looked up before the model is loaded, so that a wrong name costs no time. */
function planJobs({ prompt, lora, 'lora-dir': folders, strengths }: Arguments): Job[] {
  const { text, uses } = resolvePrompt(prompt, lora.map(parseLoraOption), findLoras(folders))
  if (strengths === undefined) return [{ suffix: '', loras: uses, prompt: text }]
  const [only, ...more] = uses
  if (!only || more.length > 0)
    throw new LorikeetError('usage', 'strengths can be compared of one LoRA only', {
      where: '--strengths',
      received: `${uses.length} LoRAs`,
      fix: 'Give one --lora, or one <lora:name> in the prompt',
    })
  return parseStrengths(strengths).map((strength) => ({ suffix: `-s${strength}`, loras: [{ file: only.file, strength }], prompt: text }))
}

function parseStrengths(text: string): number[] {
  const strengths = text.split(',').map((part) => (part.trim() === '' ? NaN : Number(part)))
  if (strengths.every(Number.isFinite) && new Set(strengths).size === strengths.length) return strengths
  throw new LorikeetError('usage', 'is no list of different numbers', { where: '--strengths', expected: 'e.g. 0,0.4,0.7,1', received: text })
}

async function make(
  pipe: Pipeline,
  { prompt, loras }: Job,
  { args, seed, renderer, label }: { args: Arguments; seed: number; renderer: Renderer; label: string },
): Promise<Generated> {
  let bar: ReturnType<Renderer['bar']> | undefined
  const settings: GenerateOptions = {
    prompt,
    loras,
    negativePrompt: args.negative,
    sampler: args.sampler,
    steps: args.steps,
    cfg: args.cfg,
    seed,
    width: args.width,
    height: args.height,
    count: args.count,
    batch: args.batch,
    clipSkip: args['clip-skip'],
    separateGuidance: args['low-memory'],
    onStep: (step, steps) => (bar ??= renderer.bar(label, steps)).update(step),
  }
  try {
    return await generate(pipe, settings)
  } finally {
    bar?.end()
  }
}

async function write({ images, settings }: Generated, { suffix }: Job, { out }: Arguments, renderer: Renderer): Promise<void> {
  for (const [i, image] of images.entries()) {
    const file = outPath(out, images.length > 1 ? `${suffix}-${i + 1}` : suffix)
    await writePng(file, image, settings[i])
    renderer.print(`${file}  seed ${settings[i]!.seed}`, { event: 'image', file, ...settings[i] })
  }
}

/** out.png and "-2" -> out-2.png */
function outPath(out: string, suffix: string): string {
  const { dir, name, ext } = path.parse(out)
  if (/^\.png$/i.test(ext)) return path.join(dir, `${name}${suffix}${ext}`)
  return path.join(dir, `${name}${ext}${suffix}.png`)
}
