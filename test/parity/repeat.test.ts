import test from 'ava'
import type { FileTensor } from '../../lib/adapters/adapter'
import { openDevice } from '../../lib/pipeline/device'
import { loadPipeline } from '../../lib/pipeline/pipeline'
import { createTrainer } from '../../lib/train/trainer'
import { fixturePath } from '../helpers/fixture-tensors'
import { testDevice } from '../helpers/test-device'
import { batch, readCase, trainerInput } from '../helpers/trainer-cases'

const bits = (tensors: Map<string, FileTensor>) =>
  new Map([...tensors].map(([name, { data }]) => [name, new Int32Array(Float32Array.from(data).buffer)]))

test('the same steps give the same bits, however often they run, in the memory that was planned', async (t) => {
  const { params, init } = readCase('conv')
  const [, , height, width] = batch(0, false).latents.shape as [number, number, number, number]
  const run = async () => {
    const pipe = await loadPipeline(fixturePath('sd15-tiny', 'model'), { device: openDevice(testDevice, { computeDtype: 'bf16' }) })
    const trainer = await createTrainer(pipe, trainerInput(params))
    await trainer.load(fixturePath('sd15-tiny', 'lora', init))
    const losses = []
    for (let step = 0; step < 2; step++) losses.push((await trainer.step(batch(step, false))).loss)
    const shape = { batch: batch(0, false).latents.shape[0]!, height, width, tokens: 77 }
    t.is(pipe.runtime.engine.memory().arena, trainer.plan([shape]).arena)
    const result = { losses, gradients: bits(trainer.gradients()), adapter: bits(trainer.adapter()) }
    pipe.close()
    return result
  }
  const [first, second] = [await run(), await run()]
  t.true([...first.gradients.values()].some((values) => values.some((value) => value !== 0)))
  t.deepEqual(second, first)
})
