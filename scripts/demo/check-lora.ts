/**
 * Measures the demo's LoRA on subjects that it was not trained on, at rising strengths: its style must come, the
 * subjects must stay, and at strength 0 it must change nothing. Exit code 1 where that fails.
 *
 *   npx ts-node --transpile-only scripts/demo/check-lora.ts --base demo --lora FILE --dataset FOLDER [--trigger WORD]
 *     [--prompts N] [--cfg N] [--steps N] [--sampler NAME] [--out FOLDER]
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { loadPipeline, openDevice, type Pipeline } from '../../lib/index'
import { conclude, percent } from './measure/checks'
import { candidates, renderSvg, spread } from './measure/drawings'
import { pictureGrid } from './measure/grid'
import { heldOut, judgeLora, type StrengthFigures } from './measure/lora-figures'
import { type Picture, readPicture } from './measure/picture'
import { type Drawn, drawPictures, pictureSize, progress, type Sampling } from './measure/sampling'
import { type StyleFigures, styleFigures } from './measure/style'
import { referencesOf, scoreSubjects } from './measure/subject-score'
import { twemojiSvg } from './svg-files'
import { captionOf } from './twemoji-dataset'

const strengths = [0, 0.4, 0.7, 1]
/** Pictures that are compared with the base's bit by bit. */
const compared = 8

const { values: given } = parseArgs({
  options: {
    base: { type: 'string', default: 'demo' },
    lora: { type: 'string' },
    dataset: { type: 'string', default: path.join('models', 'demo', 'dataset') },
    trigger: { type: 'string', default: 'inkline' },
    out: { type: 'string', default: path.join('output', 'check-lora') },
    prompts: { type: 'string', default: '48' },
    cfg: { type: 'string', default: '4' },
    steps: { type: 'string', default: '20' },
    sampler: { type: 'string', default: 'dpmpp_2m' },
    seed: { type: 'string', default: '1' },
  },
})
const sampling: Sampling = {
  cfg: Number(given.cfg),
  steps: Number(given.steps),
  sampler: given.sampler,
  seed: Number(given.seed),
}

interface Dataset {
  captions: string[]
  pictures: Picture[]
}

/** @param folder pictures and captions, also in folders within */
async function readDataset(folder: string): Promise<Dataset> {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => path.join(folder, name))
  const images = files.filter((file) => /\.(png|jpe?g|webp)$/i.test(file)).sort()
  const captions = files.filter((file) => file.endsWith('.txt') && !path.basename(file).startsWith('LICENSE'))
  if (images.length === 0) throw new Error(`there are no pictures in ${folder}`)
  return {
    captions: captions.map((file) => readFileSync(file, 'utf8').trim().replace(`, ${given.trigger}`, '')),
    pictures: await Promise.all(images.map((file) => readPicture(file, pictureSize))),
  }
}

function sameBits(a: Drawn, b: Drawn): boolean {
  return b.latents.every(({ data }, i) => Buffer.from(data.buffer).equals(Buffer.from(a.latents[i].data.buffer)))
}

async function measure(pipe: Pipeline, lora: string, { captions, pictures: trained }: Dataset): Promise<void> {
  const chosen = candidates()
  const asked = spread(heldOut(chosen, captions), Number(given.prompts))
  const references = referencesOf(await Promise.all(chosen.map(({ hexcode }) => renderSvg(twemojiSvg(hexcode)!))))
  const subjects = asked.map((emoji) => chosen.indexOf(emoji))
  const names = asked.map((emoji) => captionOf(emoji, undefined))
  const prompts = names.map((name) => (given.trigger ? `${name}, ${given.trigger}` : name))

  const base = await drawPictures(pipe, prompts.slice(0, compared), sampling)
  const columns: Picture[][] = []
  const figures: StrengthFigures[] = []
  let identical = false
  for (const strength of strengths) {
    const onPicture = progress(`strength ${strength}`)
    const drawn = await drawPictures(pipe, prompts, sampling, { loras: [{ file: lora, strength }], onPicture })
    if (strength === 0) identical = sameBits(drawn, base)
    columns.push(drawn.pictures)
    const { top1, top5 } = scoreSubjects(drawn.pictures, subjects, references)
    figures.push({ strength, ...styleFigures(drawn.pictures), top1, top5 })
  }

  const training = styleFigures(trained)
  printTable(figures, training)
  const shown = spread([...names.keys()], 12)
  const rows = shown.map((i) => ({ label: names[i], pictures: columns.map((column) => column[i]) }))
  const grid = { columns: strengths.map((strength) => `strength ${strength}`), rows }
  const sheet = await pictureGrid({ ...grid, training: { label: 'trained on', pictures: trained } })
  writeFileSync(path.join(given.out, 'strengths.png'), sheet)
  const checks = judgeLora({ strengths: figures, training, identical })
  conclude(given.out, 'check-lora', { base: given.base, lora, sampling, prompts, figures, training }, checks)
}

function printTable(figures: readonly StrengthFigures[], training: StyleFigures): void {
  const line = (...cells: string[]) => console.log(cells.map((cell) => cell.padStart(9)).join(' '))
  const style = ({ outlineShare, edgeStrength }: StyleFigures) => [percent(outlineShare), edgeStrength.toFixed(3)]
  console.log()
  line('strength', 'outline', 'edges', 'top-1', 'top-5')
  for (const one of figures) line(one.strength.toFixed(1), ...style(one), percent(one.top1), percent(one.top5))
  line('training', ...style(training))
}

async function main(): Promise<void> {
  if (!given.lora) throw new Error('give --lora FILE')
  mkdirSync(given.out, { recursive: true })
  const dataset = await readDataset(given.dataset)
  const pipe = await loadPipeline(given.base, { device: openDevice('cpu') })
  try {
    await measure(pipe, given.lora, dataset)
  } finally {
    pipe.close()
  }
}

void main()
