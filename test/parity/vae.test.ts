import test from 'ava'
import { readFixtureJson, readFixtureTensors } from '../helpers/fixture-tensors'
import { expectValues, loadTiny, values } from '../helpers/tiny-pipeline'

const tensors = readFixtureTensors('sd15-tiny', 'vae.safetensors')
const { tolerance } = readFixtureJson<{ tolerance: { rel_l2: number } }>('sd15-tiny', 'vae.json')

for (const size of ['s0', 's1']) {
  const shape = tensors.get(`${size}.image`)!.shape.join('x')

  test(`the posterior of an image equals that of diffusers: ${shape}`, async (t) => {
    const pipe = await loadTiny()
    const { mean, logvar } = await pipe.encodeImage(values(tensors, `${size}.image`))
    expectValues(t, mean, values(tensors, `${size}.mean`), tolerance.rel_l2, 'mean')
    expectValues(t, logvar, values(tensors, `${size}.logvar`), tolerance.rel_l2, 'logvar')
    const eps = values(tensors, `${size}.eps`)
    const { scalingFactor } = pipe.base.config.vae
    const data = mean.data.map((value, i) => (value + Math.exp(0.5 * logvar.data[i]!) * eps.data[i]!) * scalingFactor)
    expectValues(t, { data, shape: mean.shape }, values(tensors, `${size}.scaled_sample`), tolerance.rel_l2, 'sample')
    pipe.close()
  })

  test(`decoded latents equal those of diffusers: ${shape}`, async (t) => {
    const pipe = await loadTiny()
    const decoded = await pipe.decodeLatents(values(tensors, `${size}.latents`))
    expectValues(t, decoded, values(tensors, `${size}.decoded`), tolerance.rel_l2, 'decoded')
    pipe.close()
  })
}
