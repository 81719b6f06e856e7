/**
 * LoRA training and full gradients in bf16: the error against the f32 reference is at most three times that of PyTorch's own
 * bf16 run of the same case (scripts/fixtures/peer_bf16_errors.py).
 */
import test from 'ava'
import { openDevice } from '../../lib/pipeline/device'
import { loadPipeline } from '../../lib/pipeline/pipeline'
import { createTrainer } from '../../lib/train/trainer'
import { fixturePath, floats, readFixtureJson, readFixtureTensors, relativeL2 } from '../helpers/fixture-tensors'
import { inputGradients } from '../helpers/input-gradients'
import { batch, caseNames, caseTensors, readCase, trainerInput } from '../helpers/trainer-cases'
import { testDevice } from '../helpers/test-device'

const peer = readFixtureJson<{ bf16: Record<string, Record<string, number>> }>('sd15-tiny', 'bf16_errors.json').bf16

const open = () => loadPipeline(fixturePath('sd15-tiny', 'model'), { device: openDevice(testDevice, { computeDtype: 'bf16' }) })

const concatenate = (names: readonly string[], tensors: ReadonlyMap<string, { data: ArrayLike<number | bigint> }>) =>
  Float64Array.from(names.flatMap((name) => Array.from(tensors.get(name)?.data ?? [], Number)))

for (const name of caseNames)
  test(`training a LoRA: ${name}`, async (t) => {
    const { params, init } = readCase(name)
    const input = trainerInput(params)
    const trainsText = params.text_encoder_lr !== null
    const pipe = await open()
    const trainer = await createTrainer(pipe, input)
    await trainer.load(fixturePath('sd15-tiny', 'lora', init))
    const check = (group: string, error: number) => {
      const allowed = 3 * peer[`lora/${name}`]![group]!
      t.true(error <= allowed, `${group}: relative L2 ${error}, allowed ${allowed}`)
    }
    if (name !== 'opt') {
      const { dNoisy, dContext } = await inputGradients(pipe, input, batch(0, trainsText))
      const expected = caseTensors(`${name}.safetensors`)
      check('d_noisy_latents', relativeL2(dNoisy, floats(expected, 'd_noisy_latents')))
      if (!trainsText) check('d_emb', relativeL2(dContext, floats(expected, 'd_emb')))
    }
    for (let step = 0; step < params.steps; step++) {
      const { loss } = await trainer.step(batch(step, trainsText))
      // A single loss is one draw of rounding noise around 1e-3: judged against the worst of the peer's five.
      check('losses', Math.abs(loss / params.losses[step]! - 1))
      if (step > 0 || name === 'opt') continue
      const expected = caseTensors(`${name}.grads.safetensors`)
      const names = [...expected.keys()]
      check('grads', relativeL2(concatenate(names, trainer.gradients()), concatenate(names, expected)))
    }
    if (peer[`lora/${name}`]!.final !== undefined) {
      const final = caseTensors(`${name}.final.safetensors`)
      const names = [...final.keys()].filter((key) => !key.endsWith('.alpha'))
      check('final', relativeL2(concatenate(names, trainer.adapter()), concatenate(names, final)))
    }
    pipe.close()
  })

test('gradients of all UNet weights', async (t) => {
  const pipe = await open()
  const trainer = await createTrainer(pipe, { adapter: { kind: 'full' }, networks: { unet: { learning_rate: 1e-3 } }, prediction_type: 'epsilon' })
  await trainer.step(batch(0, false))
  const expected = readFixtureTensors('sd15-tiny', 'full_grads.safetensors')
  const names = [...expected.keys()]
  const error = relativeL2(concatenate(names, trainer.gradients()), concatenate(names, expected))
  t.true(error <= 3 * peer.full_grads!.grads!, `relative L2 ${error}`)
  pipe.close()
})
