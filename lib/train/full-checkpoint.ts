/**
 * The result of full training: a complete single-file checkpoint in the original layout, which every command takes as its
 * base. What was trained comes from the flat arena, the rest as the base has it.
 */
import { closeSync, openSync, readSync } from 'node:fs'
import type { FileTensor } from '../adapters/adapter'
import { fromOhwi } from '../adapters/layout'
import { LorikeetError } from '../base/errors'
import { configMetadataKey, type CheckpointConfigs, type WeightLocation } from '../formats/checkpoint'
import { decodeToF32 } from '../formats/dtypes'
import { ldmLayout, toLdmKey, toLdmShape, type Component } from '../formats/keymaps/ldm'
import type { TensorData } from '../formats/safetensors'
import { elements } from '../graph/tensor'
import type { NetworkName, WeightPart, WeightRequest } from '../models/scope'
import type { BaseModel } from '../pipeline/base-model'
import { latentDownscale } from '../models/families/sd15'
import { surveyNetworks } from '../pipeline/networks'
import type { Pipeline } from '../pipeline/pipeline'

const componentOf: Record<NetworkName, Component> = { unet: 'unet', vae: 'vae', text_encoder: 'textEncoder' }

/** @param trained by the checkpoint's inner names */
export async function checkpointTensors(
  { base, runtime }: Pipeline,
  trained: ReadonlyMap<string, FileTensor>,
  dtype: 'F32' | 'F16' | 'BF16',
): Promise<TensorData[]> {
  const requests = [...new Map(surveyNetworks(base.config).requests.map((request) => [request.name, request])).values()]
  const names = (network: NetworkName) =>
    requests.flatMap((request) => (request.network === network ? request.parts.map(({ tensor }) => tensor) : []))
  const layout = ldmLayout(names('unet'), names('vae'))
  const fresh = base.checkpoint ? [] : requests.filter(({ parts }) => !trained.has(parts[0]?.tensor ?? ''))
  await runtime.loadWeights(fresh)
  return requests.flatMap((request) =>
    request.parts.map((part, i): TensorData => {
      const component = componentOf[request.network]
      const key = toLdmKey({ component, name: part.tensor }, layout)
      if (key === undefined) throw new LorikeetError('failed', 'has no name in the original layout', { where: part.tensor })
      const location = base.tensors(request.network)?.get(part.tensor)
      const data = () =>
        trained.get(part.tensor)?.data ?? (location ? readLocation(location) : readPart(runtime.engine.readWeight(request.name), request, i))
      return { name: key, dtype, shape: toLdmShape({ component, name: part.tensor }, part.shape), data }
    }),
  )
}

/** The sizes that tensors do not show, so that a small model can be loaded from the one file. */
export function checkpointMetadata({ config, checkpoint, imageSize, predictionType, zeroTerminalSnr }: BaseModel): Record<string, string> {
  const { unet, vae, textEncoder } = config
  const configs: CheckpointConfigs = {
    unet: {
      ...checkpoint?.configs.unet,
      sample_size: imageSize / latentDownscale,
      attention_head_dim: [...unet.heads],
      norm_num_groups: unet.groups,
      norm_eps: unet.eps,
      use_linear_projection: unet.linearProjection,
    },
    vae: { ...checkpoint?.configs.vae, norm_num_groups: vae.groups, scaling_factor: vae.scalingFactor },
    textEncoder: { ...checkpoint?.configs.textEncoder, num_attention_heads: textEncoder.heads, hidden_act: textEncoder.activation },
    scheduler: { ...checkpoint?.configs.scheduler, prediction_type: predictionType, rescale_betas_zero_snr: zeroTerminalSnr },
  }
  return { [configMetadataKey]: JSON.stringify(configs) }
}

/** A tensor of a file, widened. */
export function readLocation({ file, dtype, offset, bytes }: WeightLocation): Float32Array {
  const content = new Uint8Array(bytes)
  const fd = openSync(file, 'r')
  try {
    for (let done = 0; done < bytes; ) {
      const count = readSync(fd, content, done, bytes - done, offset + done)
      if (count === 0) throw new LorikeetError('input', 'the file became shorter while it was read', { where: file })
      done += count
    }
  } finally {
    closeSync(fd)
  }
  return decodeToF32(dtype, content)
}

/** Part `index` of a weight as the device holds it, in the file's order. */
function readPart(values: Float32Array, { parts }: WeightRequest, index: number): Float32Array {
  const size = ({ shape }: WeightPart) => elements(shape)
  const start = parts.slice(0, index).reduce((sum, part) => sum + size(part), 0)
  const part = parts[index]!
  const own = values.slice(start, start + size(part))
  const isConvolution = part.shape.length === 4 && part.shape.slice(2).some((extent) => extent > 1)
  return isConvolution ? fromOhwi(own, part.shape) : own
}
