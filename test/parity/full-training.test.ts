import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import test from 'ava'
import { openDevice } from '../../lib/pipeline/device'
import { loadPipeline } from '../../lib/pipeline/pipeline'
import { createTrainer, type Trainer } from '../../lib/train/trainer'
import { fixturePath, floats, numbers, readFixtureJson, readFixtureTensors, relativeL2 } from '../helpers/fixture-tensors'
import { batch } from '../helpers/trainer-cases'
import { testNotEmulated } from '../helpers/device-tests'
import { testDevice } from '../helpers/test-device'

const open = () => loadPipeline(fixturePath('sd15-tiny', 'model'), { device: openDevice(testDevice, { computeDtype: 'f32' }) })

interface Description {
  params: { loss: number; total_norm: number; norms?: Record<string, number> }
}

test('gradients of all UNet weights equal those of PyTorch', async (t) => {
  const pipe = await open()
  const trainer = await createTrainer(pipe, {
    adapter: { kind: 'full' },
    networks: { unet: { learning_rate: 1e-3 } },
    prediction_type: 'epsilon',
  })
  const { params } = readFixtureJson<Description>('sd15-tiny', 'full_grads.json')
  const result = await trainer.step(batch(0, false))
  t.true(Math.abs(result.loss / params.loss - 1) < 1e-5, `loss ${result.loss}`)
  t.true(Math.abs(result.gradNorm / params.total_norm - 1) < 1e-4, `norm ${result.gradNorm}`)
  const expected = readFixtureTensors('sd15-tiny', 'full_grads.safetensors')
  const gradients = trainer.gradients()
  for (const name of expected.keys()) {
    t.deepEqual(gradients.get(name)?.shape, expected.get(name)!.shape)
    const distance = relativeL2(gradients.get(name)!.data, numbers(expected, name))
    t.true(distance < 1e-4, `${name} differs by ${distance}`)
  }
  pipe.close()
})

testNotEmulated('full training of UNet and text encoder from fresh weights lowers the loss', async (t) => {
  const pipe = await open()
  const trainer = await createTrainer(pipe, {
    adapter: { kind: 'full' },
    networks: { unet: { learning_rate: 2e-3 }, text_encoder: { learning_rate: 1e-3 } },
    gradient_accumulation: 2,
  })
  const before = await trainer.evaluate(batch(0, true))
  for (let i = 0; i < 12; i++) await trainer.step([batch(0, true), batch(2, true)])
  const after = await trainer.evaluate(batch(0, true))
  t.true(after.loss < before.loss - 0.05, `${before.loss} -> ${after.loss}`)

  // The result is a base model like any other, in one file.
  const folder = mkdtempSync(path.join(tmpdir(), 'lorikeet-full-'))
  const file = path.join(folder, 'tuned.safetensors')
  const trained = trainer.adapter()
  await trainer.save(file)
  const tuned = await loadPipeline(file, { device: openDevice(testDevice, { computeDtype: 'f32' }) })
  const { latents } = batch(0, false)
  const [live, saved] = [pipe, tuned].map(async (one) => {
    const { context } = await one.encodeText(['a cat', 'a dog'])
    const image = await one.decodeLatents(latents)
    return { image, prediction: await one.predict({ latents, timesteps: [10, 700], context }) }
  })
  t.deepEqual((await saved)!.prediction.data, (await live)!.prediction.data)
  t.deepEqual((await saved)!.image.data, (await live)!.image.data)
  trainer.close()

  const again = await createTrainer(pipe, { adapter: { kind: 'full' }, networks: { unet: { learning_rate: 1e-3 } } })
  await again.load(file)
  t.deepEqual(again.adapter().get('conv_in.weight')?.data, trained.get('conv_in.weight')?.data)
  tuned.close()
  pipe.close()
  rmSync(folder, { recursive: true })
})

testNotEmulated('the average of the weights follows them, and is what is saved', async (t) => {
  const pipe = await open()
  const decay = 0.9
  const trainer = await createTrainer(pipe, {
    adapter: { kind: 'full' },
    networks: { unet: { learning_rate: 1e-3 } },
    ema_decay: decay,
  })
  let expected = Float64Array.from(valuesOf(trainer, 'params'))
  for (let i = 0; i < 3; i++) {
    await trainer.step(batch(i, false))
    const params = valuesOf(trainer, 'params')
    expected = expected.map((average, j) => decay * average + (1 - decay) * params[j]!)
  }
  t.true(relativeL2(valuesOf(trainer, 'average'), expected) < 1e-6)
  const { tensors } = await trainer.result('F32')
  const saved = tensors.find(({ name }) => name === 'model.diffusion_model.out.2.bias')!
  const data = typeof saved.data === 'function' ? saved.data() : saved.data
  const live = trainer.adapter().get('conv_out.bias')!.data
  const distance = relativeL2(data as Float32Array, live)
  t.true(distance > 1e-5 && distance < 0.5, `${distance}`)
  pipe.close()
})

test('training the VAE lowers its reconstruction error, and the pipeline sees the trained weights', async (t) => {
  const pipe = await open()
  const trainer = await createTrainer(pipe, {
    adapter: { kind: 'full' },
    networks: { vae: { learning_rate: 2e-3 } },
    loss: { kind: 'l1' },
  })
  const tensors = readFixtureTensors('sd15-tiny', 'vae.safetensors')
  const images = { data: floats(tensors, 's0.image'), shape: [1, 3, 64, 64] }
  const eps = { data: floats(tensors, 's0.eps'), shape: [1, 4, 8, 8] }
  const before = await trainer.evaluate({ images, eps })
  const encodedBefore = await pipe.encodeImage(images)
  t.true(relativeL2(encodedBefore.mean.data, floats(tensors, 's0.mean')) < 1e-5)
  const [steps, share] = testDevice === 'cuda-sim' ? [2, 0.99] : [10, 0.9]
  for (let i = 0; i < steps; i++) await trainer.step({ images, eps })
  const after = await trainer.evaluate({ images, eps })
  t.true(after.loss < before.loss * share, `${before.loss} -> ${after.loss}`)
  const encodedAfter = await pipe.encodeImage(images)
  t.true(relativeL2(encodedAfter.mean.data, encodedBefore.mean.data) > 1e-3)
  trainer.close()
  pipe.close()
})

/** A buffer of f32 that a checkpoint holds. */
function valuesOf(trainer: Trainer, buffer: string): Float32Array {
  return new Float32Array(trainer.readState(buffer).buffer)
}
