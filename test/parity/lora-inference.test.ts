import test from 'ava'
import { fixturePath, numbers, readFixtureJson, readFixtureTensors } from '../helpers/fixture-tensors'
import { expectValues, loadTiny, rowsOf, values } from '../helpers/tiny-pipeline'

const tensors = readFixtureTensors('sd15-tiny', 'lora_inference', 'lora_inference.safetensors')
const { params, tolerance } = readFixtureJson<{
  params: { combinations: Record<string, Record<string, number>> }
  tolerance: { rel_l2: number }
}>('sd15-tiny', 'lora_inference', 'lora_inference.json')

const combinations = Object.entries(params.combinations)
const usesOf = (strengths: Record<string, number>) =>
  Object.entries(strengths).map(([letter, strength]) => ({
    file: fixturePath('sd15-tiny', 'lora_inference', `lora_${letter}.safetensors`),
    strength,
  }))

test('text states and predictions with LoRAs equal those of diffusers, one stack after the other', async (t) => {
  const pipe = await loadTiny()
  // Once more from the start: a stack must leave nothing behind.
  for (const [name, strengths] of [...combinations, ...combinations.slice(0, 2)]) {
    await pipe.applyLoras(usesOf(strengths))
    const context = await pipe.encodeIds(rowsOf(tensors, 'ids'))
    expectValues(t, context, values(tensors, `${name}.emb`), tolerance.rel_l2, `${name}: text states`)
    const prediction = await pipe.predict({ latents: values(tensors, 'x'), timesteps: numbers(tensors, 't'), context })
    expectValues(t, prediction, values(tensors, `${name}.y`), tolerance.rel_l2, `${name}: prediction`)
  }
  pipe.close()
})

test('the strengths of text encoder and UNet are apart', async (t) => {
  const pipe = await loadTiny()
  const [use] = usesOf({ a: 0.7 })
  const predict = async (name: string) =>
    pipe.predict({ latents: values(tensors, 'x'), timesteps: numbers(tensors, 't'), context: values(tensors, `${name}.emb`) })

  await pipe.applyLoras([{ ...use!, clipStrength: 0 }])
  expectValues(t, await pipe.encodeIds(rowsOf(tensors, 'ids')), values(tensors, 'none.emb'), tolerance.rel_l2, 'text states at 0')
  expectValues(t, await predict('a0.7'), values(tensors, 'a0.7.y'), tolerance.rel_l2, 'prediction at 0.7')

  await pipe.applyLoras([{ ...use!, strength: 0, clipStrength: 0.7 }])
  expectValues(t, await pipe.encodeIds(rowsOf(tensors, 'ids')), values(tensors, 'a0.7.emb'), tolerance.rel_l2, 'text states at 0.7')
  expectValues(t, await predict('none'), values(tensors, 'none.y'), tolerance.rel_l2, 'prediction at 0')
  pipe.close()
})
