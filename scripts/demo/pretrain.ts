/**
 * `npm run pretrain`: makes the demo's base model from nothing. Renders the drawings, trains the autoencoder, sets its scaling
 * factor, then trains text encoder and UNet on its latents, and writes models/demo/. Hours; can be stopped and started again.
 *
 *   npm run pretrain -- [--set KEY=VALUE ...]      settings of the second stage, such as train.steps=2000
 */
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { decodeForBucket } from '../../lib/dataset'
import { configMetadataKey } from '../../lib/formats/checkpoint'
import { readTensor, openSafetensors, writeSafetensors } from '../../lib/formats/safetensors'
import { loadPipeline, openDevice, readRecipe, trainRecipe, type Recipe } from '../../lib/index'
import { pictureSize, renderTwemoji, roundOneVariants } from './twemoji-dataset'

const folder = path.join('output', 'pretrain')
const result = path.join('models', 'demo', 'lorikeet-demo.safetensors')

async function train(recipe: Recipe, name: string): Promise<void> {
  const started = Date.now()
  await trainRecipe(recipe, {
    device: openDevice('cpu'),
    resume: true,
    onEvent(event) {
      if (event.kind === 'note') console.log(event.text)
      if (event.kind !== 'step' || event.record.step % 50 !== 0) return
      const { step, averageLoss, images, ms } = event.record
      const minutes = ((Date.now() - started) / 60000).toFixed(1)
      console.log(`${name} ${step}/${event.steps}  loss ${averageLoss.toFixed(4)}  ${((1000 * images) / ms).toFixed(0)} images/s  ${minutes} min`)
    },
  })
}

/** Twice: on Twemoji's colours, then, shorter, on all colours. */
async function trainAutoencoder(images: string): Promise<void> {
  const recipe = 'scripts/demo/pretrain-vae.yaml'
  const first = path.join(folder, 'vae.safetensors')
  if (!existsSync(first)) {
    console.log(`${await renderTwemoji('plain', images, roundOneVariants)} pictures for the autoencoder`)
    await train(readRecipe(recipe, []), 'autoencoder')
  }
  if (!existsSync(first)) return
  console.log(`${await renderTwemoji('plain', images, roundOneVariants + 3)} pictures for its second round`)
  const second = { base: first, 'output.name': 'vae-2', 'train.steps': 2200, 'train.vae_lr': 0.001, 'train.seed': 43 }
  await train(readRecipe(recipe, Object.entries(second).map(([key, value]) => `${key}=${value}`)), 'autoencoder, second round')
}

/** The factor that gives the latents unit variance, as Rombach et al. (arXiv 2112.10752, D.1) choose it. */
async function scalingFactor(model: string, images: string): Promise<number> {
  const pipe = await loadPipeline(model, { device: openDevice('cpu') })
  try {
    const files = readdirSync(images).filter((name) => name.endsWith('.png'))
    const size = { width: pictureSize, height: pictureSize }
    let [count, sum, squares] = [0, 0, 0]
    for (let i = 0; i < files.length; i += Math.ceil(files.length / 300)) {
      const placement = { bucket: size, resized: size, scale: 1, cropped: 0 }
      const data = await decodeForBucket({ path: path.join(images, files[i]!), placement, flip: false })
      const { mean } = await pipe.encodeImage({ data, shape: [1, 3, pictureSize, pictureSize] })
      for (const value of mean.data) {
        count++
        sum += value
        squares += value * value
      }
    }
    return 1 / Math.sqrt(squares / count - (sum / count) ** 2)
  } finally {
    pipe.close()
  }
}

interface Rewrite {
  dtype: 'F32' | 'F16'
  /** For the second stage: of the autoencoder; the UNet then predicts v, which learns whole shapes sooner than epsilon does. */
  scaling?: number
  metadata?: Record<string, string>
}

/** The same checkpoint with other numbers or metadata. */
function rewrite(from: string, to: string, { dtype, scaling, metadata = {} }: Rewrite): void {
  const file = openSafetensors(from)
  const configs = JSON.parse(file.metadata[configMetadataKey] ?? '{}') as Record<'vae' | 'scheduler', Record<string, unknown>>
  if (scaling !== undefined) {
    configs.vae.scaling_factor = scaling
    configs.scheduler.prediction_type = 'v_prediction'
  }
  const tensors = [...file.tensors].map(([name, { shape }]) => ({ name, dtype, shape, data: () => readTensor(file, name) }))
  mkdirSync(path.dirname(to), { recursive: true })
  writeSafetensors(to, tensors, { ...metadata, [configMetadataKey]: JSON.stringify(configs) })
}

async function main(): Promise<void> {
  const overrides = process.argv.slice(2).filter((argument) => argument !== '--set')
  const [plain, captioned] = [path.join(folder, 'plain'), path.join(folder, 'captioned')]
  const vae = path.join(folder, 'vae-2.safetensors')
  if (!existsSync(vae)) await trainAutoencoder(plain)
  console.log(`${await renderTwemoji('captioned', captioned, 8)} pictures with captions`)
  const scaled = path.join(folder, 'vae-scaled.safetensors')
  if (!existsSync(scaled)) {
    const scaling = await scalingFactor(vae, captioned)
    console.log(`scaling factor ${scaling.toFixed(5)}`)
    rewrite(vae, scaled, { dtype: 'F32', scaling })
  }
  const base = path.join(folder, 'base.safetensors')
  if (!existsSync(base)) await train(readRecipe('scripts/demo/pretrain.yaml', overrides), 'text to image')
  if (!existsSync(base)) return
  const metadata = {
    'modelspec.sai_model_spec': '1.0.0',
    'modelspec.architecture': 'stable-diffusion-v1',
    'modelspec.title': 'Lorikeet demo',
    'modelspec.description': 'A small model of emoji drawings, trained from nothing by npm run pretrain',
    'modelspec.license': 'CC-BY-4.0; trained on graphics of Twemoji, copyright Twitter, Inc and other contributors',
    'modelspec.resolution': `${pictureSize}x${pictureSize}`,
    'modelspec.prediction_type': 'v',
  }
  rewrite(base, result, { dtype: 'F16', metadata })
  console.log(`${result}: ${(statSync(result).size / 1e6).toFixed(1)} MB`)
}

void main()
