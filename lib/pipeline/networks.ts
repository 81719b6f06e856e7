/** The networks of the family as graphs with named inputs and outputs. */
import { createGraph, input, output, type Graph } from '../graph/graph'
import type { Tensor } from '../graph/tensor'
import { vaeDecoder, vaeEncoder } from '../models/networks/autoencoder-kl'
import { clipText } from '../models/networks/clip-text'
import { unet2dCondition } from '../models/networks/unet-2d-condition'
import { latentDownscale, type StableDiffusionConfig } from '../models/families/sd15'
import { createScope, type AdapterSite, type NetworkName, type Scope, type WeightRequest } from '../models/scope'

/** Batch, height and width in latents. */
export interface LatentSize {
  batch: number
  height: number
  width: number
}

export function latentInput(graph: Graph, name: string, { batch, height, width }: LatentSize, channels: number): Tensor {
  return input(graph, name, [batch, height, width, channels])
}

/** latents, timesteps, context -> prediction */
export function buildPrediction(scope: Scope, config: StableDiffusionConfig, size: LatentSize, tokens: number): void {
  const { graph } = scope
  const prediction = unet2dCondition(scope, config.unet, {
    latents: latentInput(graph, 'latents', size, config.unet.inChannels),
    timesteps: input(graph, 'timesteps', [size.batch]),
    context: input(graph, 'context', [size.batch, tokens, config.unet.crossAttentionDim]),
  })
  output(graph, 'prediction', prediction)
}

/** ids -> context */
export function buildTextEncoder(scope: Scope, config: StableDiffusionConfig, rows: number, clipSkip: number): void {
  const ids = input(scope.graph, 'ids', [rows, config.textEncoder.positions], 'i32')
  output(scope.graph, 'context', clipText(scope, config.textEncoder, ids, clipSkip))
}

/** image (pixels) -> moments */
export function buildEncoder(scope: Scope, config: StableDiffusionConfig, size: LatentSize): void {
  const [height, width] = [size.height * latentDownscale, size.width * latentDownscale]
  const image = input(scope.graph, 'image', [size.batch, height, width, config.vae.imageChannels])
  output(scope.graph, 'moments', vaeEncoder(scope, config.vae, image))
}

/** latents, divided by the scaling factor -> image */
export function buildDecoder(scope: Scope, config: StableDiffusionConfig, size: LatentSize): void {
  const latents = latentInput(scope.graph, 'latents', size, config.vae.latentChannels)
  output(scope.graph, 'image', vaeDecoder(scope, config.vae, latents))
}

/** Everything that the networks ask for, without any weights: shapes for plans, and the layers that adapters may sit on. */
export function surveyNetworks(config: StableDiffusionConfig): { requests: WeightRequest[]; sites: AdapterSite[] } {
  const size = { batch: 1, height: 8, width: 8 }
  const builders: [NetworkName, (scope: Scope) => void][] = [
    ['unet', (scope) => buildPrediction(scope, config, size, config.textEncoder.positions)],
    ['text_encoder', (scope) => buildTextEncoder(scope, config, 1, 1)],
    ['vae', (scope) => buildEncoder(scope, config, size)],
    ['vae', (scope) => buildDecoder(scope, config, size)],
  ]
  const scopes = builders.map(([network, build]) => {
    const scope = createScope(createGraph('survey', 'f32'), network)
    build(scope)
    return scope
  })
  return {
    requests: scopes.flatMap((scope) => [...scope.requests.values()]),
    sites: scopes.flatMap((scope) => scope.sites),
  }
}
