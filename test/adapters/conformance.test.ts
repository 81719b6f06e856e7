import test from 'ava'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { adapterKinds } from '../../lib/adapters'
import type { TrainerInput } from '../../lib/recipe/trainer-options'
import { createTrainer } from '../../lib/train/trainer'
import { temporaryFolder } from '../helpers/safetensors-bytes'
import { batch } from '../helpers/trainer-cases'
import { ask, openTiny, sameBits } from './tiny-pipeline'

// What every adapter kind must satisfy, with its default options.

const learning_rate = 1e-2

for (const kind of adapterKinds) {
  const input: TrainerInput = {
    adapter: kind.options.parse({}),
    networks: { unet: { learning_rate }, text_encoder: { learning_rate } },
  }

  test(`${kind.name} starts as exact identity: text states and predictions have the bits of the base`, async (t) => {
    const pipe = await openTiny()
    const base = await ask(pipe)
    const trainer = await createTrainer(pipe, input)
    t.true(sameBits(await ask(pipe), base))
    await trainer.step(batch(0, true))
    t.false(sameBits(await ask(pipe), base)) // the pipeline sees what is trained
    trainer.close()
    t.true(sameBits(await ask(pipe), base))
    pipe.close()
  })

  test(`${kind.name} saved, loaded anew and saved again is the same file, with the same answers`, async (t) => {
    const [first, second] = [
      path.join(temporaryFolder(), 'first.safetensors'),
      path.join(temporaryFolder(), 'second.safetensors'),
    ]
    const pipe = await openTiny()
    const trainer = await createTrainer(pipe, input)
    await trainer.step(batch(0, true))
    await trainer.save(first, { metadata: { note: 'once' } })
    const trained = await ask(pipe)
    trainer.close()

    const other = await createTrainer(pipe, { ...input, seed: 7 })
    t.false(sameBits(await ask(pipe), trained))
    await other.load(first)
    t.true(sameBits(await ask(pipe), trained))
    await other.save(second, { metadata: { note: 'once' } })
    t.true(readFileSync(second).equals(readFileSync(first)))
    pipe.close()
  })
}
