/** What `--base` names: a checkpoint on disk, the embedded demo, or random weights of a family's real sizes. Reads headers only. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { LorikeetError } from '../base/errors'
import { detectCheckpoint, type Checkpoint, type PredictionType, type WeightLocation } from '../formats/checkpoint'
import type { NetworkName } from '../models/scope'
import { hashTensors } from '../formats/hash-tensors'
import { demoConfig, latentDownscale, readStableDiffusionConfig, sd15Config, type StableDiffusionConfig } from '../models/families/sd15'
import { packageRoot } from '../native-loader'
import { builtInClipTokenizer, readClipTokenizer, type ClipTokenizer } from '../text/clip-tokenizer'

export interface BaseModel {
  /** As the person gave it. */
  location: string
  family: 'sd15'
  config: StableDiffusionConfig
  /** Undefined for random weights. */
  checkpoint: Checkpoint | undefined
  predictionType: PredictionType
  /** Whether the model itself says so; epsilon is assumed otherwise. */
  predictionTypeStated: boolean
  zeroTerminalSnr: boolean
  /** Side of the pictures it was made for, pixels. */
  imageSize: number
  tokenizer: ClipTokenizer
  /** Where a network's weights lie; undefined for random weights. */
  tensors(network: NetworkName): ReadonlyMap<string, WeightLocation> | undefined
  /** Identifies a network's weights for caches: a hash of their content, or the name of the random base. */
  fingerprint(network: NetworkName): Promise<string>
}

const randomBases: Record<string, { config: StableDiffusionConfig; imageSize: number }> = {
  'random:sd15': { config: sd15Config, imageSize: 512 },
  'random:demo': { config: demoConfig, imageSize: 128 },
}

/** The model that comes with Lorikeet (its model card lies beside it). A folder of this name is `./demo`. */
const embedded = { name: 'demo', file: join('models', 'demo', 'lorikeet-demo.safetensors') }

/**
 * @param seed of the weights of a random base
 * @throws LorikeetError (input) for what is no supported model, naming what was found
 */
export function openBaseModel(location: string, seed = 0): BaseModel {
  if (location === embedded.name) return checkpointModel(location, detectCheckpoint(embeddedFile()))
  const random = randomBases[location]
  if (random) return randomModel(location, random, seed)
  if (location.startsWith('random:'))
    throw new LorikeetError('usage', 'there is no such random base', {
      where: location,
      expected: Object.keys(randomBases).join(' or '),
    })
  return checkpointModel(location, detectCheckpoint(location))
}

function embeddedFile(): string {
  const file = join(packageRoot(), embedded.file)
  if (existsSync(file)) return file
  throw new LorikeetError('input', 'the demo model is not in this installation', {
    where: file,
    fix: `Take it from the repository, or give a model of your own; ./${embedded.name} is a folder of that name`,
  })
}

function randomModel(location: string, random: { config: StableDiffusionConfig; imageSize: number }, seed: number): BaseModel {
  return {
    location,
    family: 'sd15',
    ...random,
    checkpoint: undefined,
    predictionType: 'epsilon',
    predictionTypeStated: true,
    zeroTerminalSnr: false,
    tokenizer: builtInClipTokenizer(),
    tensors: () => undefined,
    fingerprint: (network) => Promise.resolve(`${location}/${network}/${seed}`),
  }
}

/** diffusers' `sample_size` of the UNet, else the resolution that a single file states, else the family's usual one. */
function imageSizeOf({ configs, metadata }: Checkpoint): number {
  const stated = [Number(configs.unet?.sample_size) * latentDownscale, Number.parseInt(metadata['modelspec.resolution'] ?? '', 10)]
  return stated.find((size) => Number.isInteger(size) && size > 0 && size % latentDownscale === 0) ?? 512
}

const componentOf = { unet: 'unet', vae: 'vae', text_encoder: 'textEncoder' } as const

function checkpointModel(location: string, checkpoint: Checkpoint): BaseModel {
  const tensors = (network: NetworkName) => checkpoint.components[componentOf[network]].tensors
  const fingerprints = new Map<NetworkName, Promise<string>>()
  return {
    location,
    family: 'sd15',
    config: readStableDiffusionConfig(checkpoint),
    checkpoint,
    predictionType: checkpoint.predictionType ?? 'epsilon',
    predictionTypeStated: checkpoint.predictionType !== undefined,
    zeroTerminalSnr: checkpoint.zeroTerminalSnr,
    imageSize: imageSizeOf(checkpoint),
    tokenizer: checkpoint.tokenizer ? readClipTokenizer(checkpoint.tokenizer) : builtInClipTokenizer(),
    tensors,
    fingerprint: (network) => {
      const known = fingerprints.get(network) ?? hashTensors(tensors(network))
      fingerprints.set(network, known)
      return known
    },
  }
}
