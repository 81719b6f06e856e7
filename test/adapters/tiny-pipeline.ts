/** The tiny model and one fixed question to it, for what adapters do to its answers. */
import type { Pipeline } from '../../lib/pipeline/pipeline'
import { openDevice } from '../../lib/pipeline/device'
import { loadPipeline } from '../../lib/pipeline/pipeline'
import type { Values } from '../../lib/pipeline/images'
import { fixturePath, floats, numbers, readFixtureTensors } from '../helpers/fixture-tensors'
import { testDevice } from '../helpers/test-device'

const given = readFixtureTensors('sd15-tiny', 'lora_inference', 'lora_inference.safetensors')

export function openTiny(): Promise<Pipeline> {
  return loadPipeline(fixturePath('sd15-tiny', 'model'), {
    device: openDevice(testDevice, { computeDtype: 'f32', threads: 1 }),
  })
}

export interface Answer {
  context: Values
  prediction: Values
}

/** The text states of a prompt, and the prediction for them, with everything that is applied at the moment. */
export async function ask(pipe: Pipeline): Promise<Answer> {
  const context = await pipe.encodeIds([numbers(given, 'ids')])
  const latents = { data: floats(given, 'x'), shape: given.get('x')!.shape }
  return { context, prediction: await pipe.predict({ latents, timesteps: numbers(given, 't'), context }) }
}

/** Bit for bit. */
export function sameBits(a: Answer, b: Answer): boolean {
  const bytes = ({ data }: Values) => Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  return bytes(a.context).equals(bytes(b.context)) && bytes(a.prediction).equals(bytes(b.prediction))
}
