/** Training on a card that leaves a part of the base in the host's memory: the same bits, in less of the card's memory. */
import test from 'ava'
import { openDevice } from '../../lib/pipeline/device'
import { loadPipeline } from '../../lib/pipeline/pipeline'
import { createTrainer } from '../../lib/train/trainer'
import { fixturePath } from '../helpers/fixture-tensors'
import { batch, readCase, trainerInput } from '../helpers/trainer-cases'

/** Two steps: launch by launch, and as a graph. */
async function train(baseOffload: number) {
  const { params, init } = readCase('base')
  const device = openDevice('cuda-sim', { computeDtype: 'bf16' })
  const pipe = await loadPipeline(fixturePath('sd15-tiny', 'model'), { device, baseOffload })
  try {
    const trainer = await createTrainer(pipe, trainerInput(params))
    await trainer.load(fixturePath('sd15-tiny', 'lora', init))
    const losses = []
    for (let step = 0; step < 2; step++) losses.push((await trainer.step(batch(step, false))).loss)
    return { losses, adapter: trainer.adapter(), memory: pipe.runtime.engine.memory() }
  } finally {
    pipe.close()
  }
}

test('a base of which a part stays with the host trains to the same bits', async (t) => {
  const here = await train(0)
  const away = await train(0.7)
  t.deepEqual(away.losses, here.losses)
  t.deepEqual(away.adapter, here.adapter)
  t.is(away.memory.weights + away.memory.host, here.memory.weights)
  const total = ({ weights, staging }: typeof here.memory) => weights + staging
  t.true(total(away.memory) < 0.75 * total(here.memory), `${total(away.memory)} of ${total(here.memory)} bytes`)
})
