import test from 'ava'
import { numbers, readFixtureJson, readFixtureTensors } from '../helpers/fixture-tensors'
import { expectValues, loadTiny, values } from '../helpers/tiny-pipeline'

const tensors = readFixtureTensors('sd15-tiny', 'unet.safetensors')
const { tolerance } = readFixtureJson<{ tolerance: { rel_l2: number } }>('sd15-tiny', 'unet.json')

for (const name of ['a', 'b', 'odd'])
  test(`the prediction equals that of diffusers: ${name}, latents ${tensors.get(`${name}.x`)!.shape.join('x')}`, async (t) => {
    const pipe = await loadTiny()
    const prediction = await pipe.predict({
      latents: values(tensors, `${name}.x`),
      timesteps: numbers(tensors, `${name}.t`),
      context: values(tensors, `${name}.emb`),
    })
    expectValues(t, prediction, values(tensors, `${name}.y`), tolerance.rel_l2, name)
    pipe.close()
  })

test('shapes can change from one prediction to the next', async (t) => {
  const pipe = await loadTiny()
  for (const name of ['a', 'odd', 'a', 'b', 'a']) {
    const prediction = await pipe.predict({
      latents: values(tensors, `${name}.x`),
      timesteps: numbers(tensors, `${name}.t`),
      context: values(tensors, `${name}.emb`),
    })
    expectValues(t, prediction, values(tensors, `${name}.y`), tolerance.rel_l2, name)
  }
  pipe.close()
})
