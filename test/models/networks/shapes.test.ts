import test from 'ava'
import { createGraph, input, type Graph } from '../../../lib/graph/graph'
import { verify } from '../../../lib/graph/verify'
import { readStableDiffusionConfig, sd15Config } from '../../../lib/models/families/sd15'
import { vaeDecoder, vaeEncoder } from '../../../lib/models/networks/autoencoder-kl'
import { clipText } from '../../../lib/models/networks/clip-text'
import { unet2dCondition } from '../../../lib/models/networks/unet-2d-condition'
import { createScope, type NetworkName, type Scope } from '../../../lib/models/scope'
import { detectCheckpoint } from '../../../lib/formats/checkpoint'
import type { ComputeDType, Tensor } from '../../../lib/graph/tensor'
import { fixturePath } from '../../helpers/fixture-tensors'

// Every configuration walked through by shapes alone, without weights.

const configurations = {
  'Stable Diffusion 1.5': sd15Config,
  'the tiny model': readStableDiffusionConfig(detectCheckpoint(fixturePath('sd15-tiny', 'model'))),
}

/** Builds one network in a sound graph and returns its result. */
function walk(network: NetworkName, dtype: ComputeDType, build: (scope: Scope, graph: Graph) => Tensor): Tensor {
  const graph = createGraph(network, dtype)
  const result = build(createScope(graph, network), graph)
  verify(graph)
  return result
}

for (const [name, config] of Object.entries(configurations))
  for (const dtype of ['f32', 'bf16'] as const) {
    test(`the UNet of ${name} predicts in the shape of its latents, any size, in ${dtype}`, (t) => {
      // 63x65 and 5x9: sizes that halve unevenly, so that upsampling must follow the skip connection.
      for (const [n, h, w, tokens] of [
        [1, 64, 64, 77],
        [2, 96, 40, 231],
        [1, 63, 65, 77],
        [3, 5, 9, 154],
      ] as const) {
        const prediction = walk('unet', dtype, (scope, graph) =>
          unet2dCondition(scope, config.unet, {
            latents: input(graph, 'latents', [n, h, w, config.unet.inChannels]),
            timesteps: input(graph, 'timesteps', [n]),
            context: input(graph, 'context', [n, tokens, config.unet.crossAttentionDim]),
          }),
        )
        t.deepEqual(prediction.shape, [n, h, w, config.unet.outChannels])
        t.is(prediction.dtype, dtype)
      }
    })

    test(`the VAE of ${name} divides the sides by eight and back, in ${dtype}`, (t) => {
      for (const [n, h, w] of [
        [1, 64, 64],
        [2, 6, 10],
      ] as const) {
        const moments = walk('vae', dtype, (scope, graph) =>
          vaeEncoder(scope, config.vae, input(graph, 'image', [n, h * 8, w * 8, config.vae.imageChannels])),
        )
        t.deepEqual(moments.shape, [n, h, w, 2 * config.vae.latentChannels])
        const image = walk('vae', dtype, (scope, graph) =>
          vaeDecoder(scope, config.vae, input(graph, 'latents', [n, h, w, config.vae.latentChannels])),
        )
        t.deepEqual(image.shape, [n, h * 8, w * 8, config.vae.imageChannels])
      }
    })

    test(`the text encoder of ${name} gives one state a token, and clip skip leaves out layers, in ${dtype}`, (t) => {
      const { textEncoder } = config
      const layers = [1, 2, textEncoder.layers].map((clipSkip) => {
        const graph = createGraph('text', dtype)
        const ids = input(graph, 'ids', [2, 77], 'i32')
        const states = clipText(createScope(graph, 'text_encoder'), textEncoder, ids, clipSkip)
        verify(graph)
        t.deepEqual(states.shape, [2, 77, textEncoder.width])
        return graph.ops.filter((op) => op.definition.name === 'attention').length
      })
      t.deepEqual(layers, [textEncoder.layers, textEncoder.layers - 1, 1])
    })
  }

test('more tokens than the text encoder has positions are refused', (t) => {
  const graph = createGraph('text', 'f32')
  const ids = input(graph, 'ids', [1, 78], 'i32')
  t.throws(() => clipText(createScope(graph, 'text_encoder'), sd15Config.textEncoder, ids), {
    message: /op embedding: .*do not fit the ids/,
  })
})
