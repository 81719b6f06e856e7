import test from 'ava'
import { readFileSync } from 'node:fs'
import { openSafetensors } from '../../lib/formats/safetensors'
import { openDevice } from '../../lib/pipeline/device'
import { loadPipeline } from '../../lib/pipeline/pipeline'
import type { TrainerInput } from '../../lib/recipe/trainer-options'
import { createTrainer } from '../../lib/train/trainer'
import { testDevice } from '../helpers/test-device'
import { tinyModel } from '../helpers/tiny-pipeline'
import { batch } from '../helpers/trainer-cases'
import { tinyRun } from './tiny-run'

const eight = { kind: 'adamw8bit', min_8bit_size: 0 } as const

/** Losses of the same batch over and over. */
async function losses(input: TrainerInput, steps: number): Promise<number[]> {
  const device = openDevice(testDevice, { computeDtype: 'f32', threads: 1 })
  const pipe = await loadPipeline(tinyModel, { device })
  const trainer = await createTrainer(pipe, input)
  const found = []
  for (let i = 0; i < steps; i++) found.push((await trainer.step(batch(0, false))).loss)
  trainer.close()
  pipe.close()
  return found
}

/** With how far the losses may be apart at any step, as a part of how far they fall. */
const cases: Record<string, { input: TrainerInput; tolerance: number }> = {
  'a LoRA': {
    input: { adapter: { kind: 'lora', rank: 16 }, networks: { unet: { learning_rate: 1e-2 } } },
    tolerance: 0.05,
  },
  'all weights': { input: { adapter: { kind: 'full' }, networks: { unet: { learning_rate: 1e-3 } } }, tolerance: 0.005 },
}

for (const [what, { input, tolerance }] of Object.entries(cases))
  test(`with 8 bits ${what} learns as fast as with f32`, async (t) => {
    const steps = 40
    const [plain, coded] = [await losses(input, steps), await losses({ ...input, optimizer: eight }, steps)]
    const fall = plain[0]! - plain.at(-1)!
    t.true(fall > 0.8 * plain[0]!, `from ${plain[0]} to ${plain.at(-1)}`)
    const apart = Math.max(...plain.map((loss, i) => Math.abs(coded[i]! - loss))) / fall
    t.true(apart > 0 && apart <= tolerance, `${apart} of the fall apart`)
  })

test('three steps with 8 bits and three more give the bits of six', async (t) => {
  for (const optimizer of [eight, { kind: 'adamw8bit', min_8bit_size: 600 }]) {
    const [whole, halves] = [await tinyRun(t), await tinyRun(t)]
    await whole.train(whole.recipe({ optimizer }))
    await halves.train(halves.recipe({ optimizer, train: { steps: 3 } }))
    await halves.train(halves.recipe({ optimizer }), { resume: true })
    const file = 'tiny/checkpoint-00000006.safetensors'
    const { tensors } = openSafetensors(whole.path(file))
    t.like(tensors.get('m_codes'), { dtype: 'I32' })
    t.is(tensors.has('m'), optimizer.min_8bit_size > 0)
    for (const name of ['tiny.safetensors', file])
      t.true(behindHeader(halves.path(name)).equals(behindHeader(whole.path(name))), name)
  }
})

function behindHeader(file: string): Buffer {
  const bytes = readFileSync(file)
  return bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)))
}
