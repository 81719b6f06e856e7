/**
 * Measures the demo's base model: whether its pictures show what their prompts name, and how well its autoencoder does
 * on drawings of another hand. Exit code 1 below the thresholds.
 *
 *   npx ts-node --transpile-only scripts/demo/check-base.ts --base demo [--cfg N] [--steps N] [--sampler NAME]
 *     [--prompts N] [--drawings N] [--only subjects|reconstruction] [--out FOLDER]
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { loadPipeline, openDevice, type Pipeline } from '../../lib/index'
import { atLeast, type Check, conclude, decibels, percent } from './measure/checks'
import { candidates, promptsOf, renderSvg, spread } from './measure/drawings'
import { pictureGrid } from './measure/grid'
import type { Picture } from './measure/picture'
import { heldOutDrawings, measureReconstruction } from './measure/reconstruction'
import { drawPictures, progress, type Sampling } from './measure/sampling'
import { referencesOf, scoreSubjects } from './measure/subject-score'
import { styleFigures } from './measure/style'
import { twemojiSvg } from './svg-files'
import { captionOf } from './twemoji-dataset'

const leastTop5 = 0.6
const leastPsnr = 24
const sheetPictures = 64

const { values: given } = parseArgs({
  options: {
    base: { type: 'string', default: 'demo' },
    out: { type: 'string', default: path.join('output', 'check-base') },
    cfg: { type: 'string', default: '4' },
    steps: { type: 'string', default: '20' },
    sampler: { type: 'string', default: 'dpmpp_2m' },
    seed: { type: 'string', default: '1' },
    prompts: { type: 'string', default: '100' },
    drawings: { type: 'string', default: '200' },
    only: { type: 'string' },
  },
})
const sampling: Sampling = {
  cfg: Number(given.cfg),
  steps: Number(given.steps),
  sampler: given.sampler,
  seed: Number(given.seed),
}

async function checkSubjects(pipe: Pipeline): Promise<{ figures: object; check: Check }> {
  const chosen = candidates()
  const references = await Promise.all(chosen.map(({ hexcode }) => renderSvg(twemojiSvg(hexcode)!)))
  const asked = spread(promptsOf(chosen), Number(given.prompts))
  const prompts = asked.map((emoji) => captionOf(emoji, undefined))
  const { pictures } = await drawPictures(pipe, prompts, sampling, { onPicture: progress('drawing') })
  const subjects = asked.map((emoji) => chosen.indexOf(emoji))
  const score = scoreSubjects(pictures, subjects, referencesOf(references))
  await writeSheet(pictures, prompts, score.places)
  const { top1, top5 } = score
  console.log(`Subject score: top-1 ${percent(top1)}, top-5 ${percent(top5)} among ${score.candidates} candidates`)
  const style = { drawn: styleFigures(pictures), drawings: styleFigures(subjects.map((i) => references[i])) }
  const places = Object.fromEntries(prompts.map((prompt, i) => [prompt, score.places[i]]))
  return { figures: { subjects: { ...score, places }, style }, check: atLeast('top-5', top5, leastTop5, percent) }
}

/** The place that the subject score gave stands beside each name. */
async function writeSheet(pictures: readonly Picture[], prompts: readonly string[], places: readonly number[]) {
  const shown = spread([...pictures.keys()], sheetPictures)
  const rows = Array.from({ length: Math.ceil(shown.length / 8) }, (_, row) => {
    const indices = shown.slice(row * 8, row * 8 + 8)
    return { pictures: indices.map((i) => pictures[i]), captions: indices.map((i) => `${prompts[i]} (${places[i]})`) }
  })
  writeFileSync(path.join(given.out, 'samples.png'), await pictureGrid({ rows }))
}

async function checkReconstruction(pipe: Pipeline): Promise<{ figures: object; check: Check }> {
  const drawings = await heldOutDrawings(Number(given.drawings))
  const { figures, reconstructed } = await measureReconstruction(pipe, drawings)
  const { mean, min, percentile10 } = figures
  const reached = `nine in ten reach ${decibels(percentile10)}`
  console.log(`Reconstruction: mean ${decibels(mean)}, worst ${decibels(min)}, ${reached}`)
  const shown = spread([...drawings.keys()], 8)
  const rows = [
    { label: 'drawing', pictures: shown.map((i) => drawings[i]) },
    { label: 'encoded and decoded', pictures: shown.map((i) => reconstructed[i]) },
  ]
  writeFileSync(path.join(given.out, 'reconstruction.png'), await pictureGrid({ rows }))
  const style = { drawings: styleFigures(drawings), reconstructed: styleFigures(reconstructed) }
  return {
    figures: { reconstruction: { ...figures, style } },
    check: atLeast('mean PSNR', mean, leastPsnr, decibels),
  }
}

async function main(): Promise<void> {
  mkdirSync(given.out, { recursive: true })
  const pipe = await loadPipeline(given.base, { device: openDevice('cpu') })
  try {
    const parts = []
    if (given.only !== 'subjects') parts.push(await checkReconstruction(pipe))
    if (given.only !== 'reconstruction') parts.push(await checkSubjects(pipe))
    const figures = Object.assign({ base: given.base, sampling }, ...parts.map((part) => part.figures)) as object
    conclude(given.out, 'check-base', figures, parts.map(({ check }) => check))
  } finally {
    pipe.close()
  }
}

void main()
