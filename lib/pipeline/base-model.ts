/** What `--base` names: a checkpoint on disk, or random weights of a family's real sizes. Reads headers only. */
import { LorikeetError } from '../base/errors'
import { detectCheckpoint, type Checkpoint, type PredictionType, type WeightLocation } from '../formats/checkpoint'
import type { NetworkName } from '../models/scope'
import { hashTensors } from '../formats/hash-tensors'
import { readStableDiffusionConfig, sd15Config, type StableDiffusionConfig } from '../models/families/sd15'
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
  tokenizer: ClipTokenizer
  /** Where a network's weights lie; undefined for random weights. */
  tensors(network: NetworkName): ReadonlyMap<string, WeightLocation> | undefined
  /** Identifies a network's weights for caches: a hash of their content, or the name of the random base. */
  fingerprint(network: NetworkName): Promise<string>
}

const randomBases: Record<string, StableDiffusionConfig> = { 'random:sd15': sd15Config }

/**
 * @param seed of the weights of a random base
 * @throws LorikeetError (input) for what is no supported model, naming what was found
 */
export function openBaseModel(location: string, seed = 0): BaseModel {
  const random = randomBases[location]
  if (random) return randomModel(location, random, seed)
  if (location.startsWith('random:'))
    throw new LorikeetError('usage', 'there is no such random base', {
      where: location,
      expected: Object.keys(randomBases).join(' or '),
    })
  return checkpointModel(location, detectCheckpoint(location))
}

function randomModel(location: string, config: StableDiffusionConfig, seed: number): BaseModel {
  return {
    location,
    family: 'sd15',
    config,
    checkpoint: undefined,
    predictionType: 'epsilon',
    predictionTypeStated: true,
    zeroTerminalSnr: false,
    tokenizer: builtInClipTokenizer(),
    tensors: () => undefined,
    fingerprint: (network) => Promise.resolve(`${location}/${network}/${seed}`),
  }
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
    tokenizer: checkpoint.tokenizer ? readClipTokenizer(checkpoint.tokenizer) : builtInClipTokenizer(),
    tensors,
    fingerprint: (network) => {
      const known = fingerprints.get(network) ?? hashTensors(tensors(network))
      fingerprints.set(network, known)
      return known
    },
  }
}
