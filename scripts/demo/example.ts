/**
 * The whole way on real drawings, in a few minutes without a download: render a dataset, train a LoRA by a recipe, and measure
 * on drawings that it never saw. The base is the tiny random model of the tests: its pictures mean nothing, its loss does.
 *
 *   npm run example -- [--steps N] [--out FOLDER] [--base MODEL --size PIXELS]
 */
import { mkdirSync, readdirSync, renameSync } from 'node:fs'
import path from 'node:path'
import { philoxNormal } from '../../lib/base/philox'
import { decodeForBucket } from '../../lib/dataset'
import { createTrainer, loadPipeline, openDevice, trainRecipe, resolveRecipe, type Pipeline, type Values } from '../../lib/index'
import { renderOpenmoji } from './openmoji-dataset'

const heldOutDrawings = 6
/** Spread over the schedule; every drawing is noised at each of them. */
const heldOutTimesteps = [100, 300, 500, 700, 900]

interface Settings {
  base: string
  out: string
  size: number
  steps: number
}

function readArguments(argv: readonly string[]): Settings {
  const value = (name: string, otherwise: string) => argv[argv.indexOf(`--${name}`) + 1 || argv.length] ?? otherwise
  const out = path.resolve(value('out', path.join('output', 'example')))
  const base = value('base', path.join(__dirname, '..', '..', 'test', 'fixtures', 'sd15-tiny', 'model'))
  return { base, out, size: Number(value('size', '128')), steps: Number(value('steps', '300')) }
}

/** Moves the last drawings aside. @returns the folders of what is trained and what is held out */
function split(images: string, folder: string): { trained: string; heldOut: string } {
  const heldOut = path.join(folder, 'held-out')
  mkdirSync(heldOut, { recursive: true })
  const names = readdirSync(images).sort()
  for (const name of names.slice(-2 * heldOutDrawings)) renameSync(path.join(images, name), path.join(heldOut, name))
  return { trained: path.dirname(images), heldOut }
}

async function heldOutLatents(pipe: Pipeline, folder: string, size: number): Promise<Values[]> {
  const files = readdirSync(folder).filter((name) => name.endsWith('.png'))
  const placement = { bucket: { width: size, height: size }, resized: { width: size, height: size }, scale: 1, cropped: 0 }
  return Promise.all(
    files.map(async (name) => {
      const pixels = await decodeForBucket({ path: path.join(folder, name), placement, flip: false })
      const { mean } = await pipe.encodeImage({ data: pixels, shape: [1, 3, size, size] })
      return { data: mean.data.map((v) => v * pipe.base.config.vae.scalingFactor), shape: mean.shape }
    }),
  )
}

/** Mean loss on the held-out drawings with fixed noise; `lora` undefined is the base alone. */
async function heldOutLoss({ base, size }: Settings, folder: string, lora: { file: string; strength: number } | undefined): Promise<number> {
  const pipe = await loadPipeline(base, { device: openDevice('cpu') })
  try {
    if (lora) await pipe.applyLoras([lora])
    const trainer = await createTrainer(pipe, { adapter: { kind: 'lora', rank: 1 }, networks: { unet: { learning_rate: 1e-9 } } })
    const { context } = await pipe.encodeText([''])
    let sum = 0
    const latents = await heldOutLatents(pipe, folder, size)
    for (const [i, one] of latents.entries())
      for (const [j, t] of heldOutTimesteps.entries()) {
        const noise = { data: philoxNormal({ seed: 7, stream: i, step: j }, new Float32Array(one.data.length)), shape: one.shape }
        sum += (await trainer.evaluate({ latents: one, noise, timesteps: [t], context })).loss
      }
    return sum / (latents.length * heldOutTimesteps.length)
  } finally {
    pipe.close()
  }
}

async function main(): Promise<void> {
  const settings = readArguments(process.argv.slice(2))
  const images = await renderOpenmoji(path.join(settings.out, 'dataset'), 36, settings.size)
  const { trained, heldOut } = split(images, settings.out)
  const recipe = resolveRecipe({
    base: settings.base,
    output: { name: 'openmoji', dir: settings.out },
    dataset: { image_dir: trained, resolution: settings.size, batch_size: 2 },
    adapter: { kind: 'lora', rank: 8, alpha: 8 },
    train: { steps: settings.steps, unet_lr: 2e-3 },
    lr_schedule: { kind: 'cosine', warmup: 10 },
  })
  const every = Math.max(1, Math.round(settings.steps / 10))
  const { file } = await trainRecipe(recipe, {
    device: openDevice('cpu'),
    overwrite: true,
    onEvent(event) {
      if (event.kind === 'note') console.log(event.text)
      if (event.kind !== 'step' || event.record.step % every !== 0) return
      const { step, averageLoss, ms } = event.record
      console.log(`step ${step}/${event.steps}  mean loss ${averageLoss.toFixed(4)}  ${(ms / 1000).toFixed(2)} s/step`)
    },
  })
  if (!file) return
  console.log('\nLoss on drawings that were not trained, by strength of the LoRA:')
  const losses: number[] = []
  for (const strength of [0, 0.4, 0.7, 1]) {
    const loss = await heldOutLoss(settings, heldOut, strength === 0 ? undefined : { file, strength })
    losses.push(loss)
    console.log(`  ${strength.toFixed(1)}  ${loss.toFixed(4)}  ${'#'.repeat(Math.round(loss * 40))}`)
  }
  const shown = path.relative(process.cwd(), file)
  console.log(`\nThe LoRA: ${shown}\nTry next:`)
  console.log(`  npm run -s lorikeet -- inspect ${shown}`)
  console.log(`  npm run -s lorikeet -- plan recipe.yaml      (docs/guides/train.md)`)
  console.log(`  npm run -s lorikeet -- bench --ranks 8,128`)
  if (!(losses.at(-1)! < losses[0]!)) {
    console.error('The LoRA did not lower the loss on held-out drawings.')
    process.exitCode = 1
  }
}

void main()
