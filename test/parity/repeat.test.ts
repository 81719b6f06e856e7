import test from 'ava'
import { openDevice } from '../../lib/pipeline/device'
import { loadPipeline } from '../../lib/pipeline/pipeline'
import { createTrainer } from '../../lib/train/trainer'
import { fixturePath } from '../helpers/fixture-tensors'
import { testDevice } from '../helpers/test-device'
import { batch, readCase, trainerInput } from '../helpers/trainer-cases'

test('the same steps give the same bits, however often they run', async (t) => {
  const { params, init } = readCase('conv')
  const run = async () => {
    const device = openDevice(testDevice, { computeDtype: 'bf16' })
    const pipe = await loadPipeline(fixturePath('sd15-tiny', 'model'), { device })
    const trainer = await createTrainer(pipe, trainerInput(params))
    await trainer.load(fixturePath('sd15-tiny', 'lora', init))
    const losses = []
    for (let step = 0; step < 2; step++) losses.push((await trainer.step(batch(step, false))).loss)
    const state = ['grads', ...trainer.stateBuffers.map(({ name }) => name)].map((name) => [name, new Int32Array(trainer.readState(name).buffer)] as const)
    pipe.close()
    return { losses, state: new Map(state) }
  }
  const [first, second] = [await run(), await run()]
  t.deepEqual(second.losses, first.losses)
  for (const [name, values] of first.state) t.deepEqual(second.state.get(name), values, name)
  t.true(first.state.get('params')!.some((bits) => bits !== 0))
})
