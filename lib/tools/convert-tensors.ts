/** The weights of a base model under the keys of another layout, each read when it is written. */
import { LorikeetError } from '../base/errors'
import type { Checkpoint, Component, WeightLocation } from '../formats/checkpoint'
import { decodeToF32, type Dtype, type FloatDtype } from '../formats/dtypes'
import { ldmLayout, toLdmKey, toLdmShape } from '../formats/keymaps/ldm'
import { readBytes, type TensorData } from '../formats/safetensors'
import type { ConvertProgress } from './convert'

export const components: readonly Component[] = ['unet', 'vae', 'textEncoder']

const weightDtypes: readonly Dtype[] = ['F32', 'F16', 'BF16', 'F64']

/** @throws LorikeetError (input) for weights that are no plain numbers */
export function checkDtypes({ components: parts }: Checkpoint): void {
  for (const component of components) {
    for (const [name, { file, dtype }] of parts[component].tensors) {
      if (weightDtypes.includes(dtype)) continue
      throw new LorikeetError('input', `the weight ${name} is stored as ${dtype}`, {
        where: file,
        expected: 'F32, F16, BF16 or F64',
        fix: 'Use the unquantised version of this model',
      })
    }
  }
}

/** One network's weights under the names that diffusers and transformers use. */
export function folderTensors(checkpoint: Checkpoint, component: Component, read: ReadWeight): TensorData[] {
  return [...checkpoint.components[component].tensors].map(([name, location]) => read(name, location.shape, location))
}

/** All weights under the keys of the original layout, and the marks by which ComfyUI and Forge know an objective. */
export function singleFileTensors(checkpoint: Checkpoint, read: ReadWeight): TensorData[] {
  const { unet, vae } = checkpoint.components
  const layout = ldmLayout(unet.tensors.keys(), vae.tensors.keys())
  const weights = components.flatMap((component) =>
    [...checkpoint.components[component].tensors].map(([name, location]) => {
      const key = toLdmKey({ component, name }, layout)
      if (key === undefined) throw new Error(`${component} ${name} has no name in the original layout`)
      return read(key, toLdmShape({ component, name }, location.shape), location)
    }),
  )
  const mark = (name: string): TensorData => ({ name, dtype: 'F32', shape: [0], data: new Uint8Array(0) })
  if (checkpoint.predictionType === 'v_prediction') weights.push(mark('v_pred'))
  if (checkpoint.zeroTerminalSnr) weights.push(mark('ztsnr'))
  return weights
}

export type ReadWeight = (name: string, shape: readonly number[], location: WeightLocation) => TensorData

/**
 * @param dtype what the weights become; undefined keeps each as it is, bit for bit
 * @param onProgress hears of every weight
 */
export function weightReader(
  checkpoint: Checkpoint,
  dtype: FloatDtype | undefined,
  onProgress: (progress: ConvertProgress) => void = () => {},
): ReadWeight {
  const locations = components.flatMap((component) => [...checkpoint.components[component].tensors.values()])
  const total = locations.reduce((sum, { bytes }) => sum + bytes, 0)
  let done = 0
  return (name, shape, location) => ({
    name,
    shape,
    dtype: dtype ?? location.dtype,
    data: () => {
      const bytes = readBytes(location)
      done += bytes.length
      onProgress({ done, total })
      return dtype === undefined || dtype === location.dtype ? bytes : decodeToF32(location.dtype, bytes)
    },
  })
}
