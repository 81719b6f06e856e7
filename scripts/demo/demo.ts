/**
 * The demo: trains a style LoRA on the embedded base model by models/demo/inkline.yaml, then draws subjects that the LoRA never
 * saw at four strengths, and puts everything into one picture.
 *
 *   npm run demo -- [--steps N] [--out FOLDER]
 */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { generate, loadPipeline, openDevice, readRecipe, trainRecipe, type Device, type Recipe, type Values } from '../../lib/index'
import { pictureGrid } from './measure/grid'
import { readPicture, toPicture, type Picture } from './measure/picture'
import { styleFigures, type StyleFigures } from './measure/style'

const root = path.join(__dirname, '..', '..')
const recipeFile = path.join('models', 'demo', 'inkline.yaml')
/** None of them is in the dataset. */
export const subjects = ['fox', 'strawberry', 'sailboat', 'mushroom', 'rocket', 'teapot']
/** The last word of every caption. */
export const trigger = 'inkline'
export const strengths = [0, 0.4, 0.7, 1]
export const settings = { seed: 1, cfg: 4, steps: 20, sampler: 'dpmpp_2m_karras' }

export interface DemoResult {
  lora: string
  /** The sheet, a PNG file. */
  picture: string
  /** Pixels [1, 3, 128, 128] of each strength, one for each subject. */
  columns: Values[][]
  /** Of each strength. */
  figures: StyleFigures[]
  training: StyleFigures
}

async function train(recipe: Recipe, device: Device): Promise<string> {
  const { file } = await trainRecipe(recipe, {
    device,
    overwrite: true,
    onEvent(event) {
      if (event.kind === 'note') console.log(event.text)
      if (event.kind !== 'step') return
      const { step, averageLoss, images, ms } = event.record
      if (step % Math.max(1, Math.round(event.steps / 10)) !== 0) return
      console.log(`  step ${step} of ${event.steps}  mean loss ${averageLoss.toFixed(4)}  ${((1000 * images) / ms).toFixed(0)} images a second`)
    },
  })
  if (!file) throw new Error('the training was interrupted')
  return file
}

/** One column a strength; every one starts from the same noise. */
async function draw(device: Device, file: string): Promise<Values[][]> {
  const pipe = await loadPipeline('demo', { device })
  try {
    const columns: Values[][] = []
    for (const strength of strengths) {
      const prompt = subjects.map((subject) => `${subject}, ${trigger}`)
      const { images } = await generate(pipe, { ...settings, prompt, loras: [{ file, strength }] })
      columns.push(images)
      console.log(`  strength ${strength.toFixed(1)}: ${images.length} pictures`)
    }
    return columns
  } finally {
    pipe.close()
  }
}

function trainingPictures(folder: string): Promise<Picture[]> {
  const files = readdirSync(folder).filter((name) => name.endsWith('.png'))
  return Promise.all(files.map((name) => readPicture(path.join(folder, name))))
}

const seconds = (since: number) => `${Math.round((Date.now() - since) / 1000)} s`

/** @param steps those of the recipe unless told */
export async function runDemo({ steps, out }: { steps?: number; out: string }): Promise<DemoResult> {
  const folder = path.join(root, 'models', 'demo', 'dataset')
  const overrides = [`output.dir=${out}`, `dataset.cache_dir=${path.join(out, 'cache')}`, `dataset.image_dir=${folder}`]
  const recipe = readRecipe(path.join(root, recipeFile), steps === undefined ? overrides : [...overrides, `train.steps=${steps}`])
  const device = openDevice('cpu')
  mkdirSync(out, { recursive: true })

  console.log(`Training a LoRA on the demo model by ${recipeFile}`)
  let started = Date.now()
  const lora = await train(recipe, device)
  console.log(`Trained in ${seconds(started)}.\n\nDrawing what it never saw: ${subjects.join(', ')}`)

  started = Date.now()
  const columns = await draw(device, lora)
  const shown = columns.map((images) => images.map(toPicture))
  const training = await trainingPictures(folder)
  const sheet = await pictureGrid({
    columns: strengths.map((strength) => (strength === 0 ? 'base' : `strength ${strength}`)),
    rows: subjects.map((label, row) => ({ label, pictures: shown.map((column) => column[row]!) })),
    training: { label: 'trained on', pictures: training.slice(0, 14) },
  })
  const picture = path.join(out, 'inkline.png')
  writeFileSync(picture, sheet)
  console.log(`Drawn in ${seconds(started)}.`)
  return { lora, picture, columns, figures: shown.map(styleFigures), training: styleFigures(training) }
}

function readArguments(argv: readonly string[]): { steps?: number; out: string } {
  const value = (name: string) => argv[argv.indexOf(`--${name}`) + 1 || argv.length]
  const steps = value('steps')
  return { ...(steps !== undefined && { steps: Number(steps) }), out: value('out') ?? path.join('output', 'demo') }
}

async function main(): Promise<void> {
  const { lora, picture, figures, training } = await runDemo(readArguments(process.argv.slice(2)))
  const bar = (label: string, { outlineShare }: StyleFigures) =>
    console.log(`  ${label.padEnd(18)} ${(outlineShare * 100).toFixed(1).padStart(4)} %  ${'#'.repeat(Math.round(outlineShare * 300))}`)
  console.log('\nBlack outline in these pictures:')
  strengths.forEach((strength, i) => bar(`strength ${strength}`, figures[i]!))
  bar('training pictures', training)

  console.log(`\nMade: the picture  ${picture}\n      the LoRA     ${lora}\nTry next:`)
  console.log(`  npm run -s lorikeet -- inspect ${lora}`)
  console.log(`  npm run -s lorikeet -- generate --base demo --prompt "horse, ${trigger} <lora:${lora}:0.8>" --out horse.png`)
  console.log(`  npm run -s lorikeet -- train ${recipeFile} --set adapter.rank=32 --set output.name=inkline-32`)
  if (!(figures.at(-1)!.outlineShare > figures[0]!.outlineShare)) {
    console.error('The LoRA did not bring the outlines of its training pictures.')
    process.exitCode = 1
  }
}

if (require.main === module) void main()
