import test from 'ava'
import { openDevice } from '../../lib/pipeline/device'
import { loadPipeline } from '../../lib/pipeline/pipeline'
import { createTrainer } from '../../lib/train/trainer'
import { batch, caseNames, caseTensors, readCase, trainerInput } from '../helpers/trainer-cases'
import { fixturePath, floats, relativeL2 } from '../helpers/fixture-tensors'
import { inputGradients } from '../helpers/input-gradients'
import { testDevice } from '../helpers/test-device'

// Tolerances of the fixtures' descriptions: losses 1e-5, gradients 1e-4 (all together), final weights 1e-4, their change 1e-2.

const concatenate = (names: string[], tensors: ReadonlyMap<string, { data: ArrayLike<number | bigint> }>) =>
  Float64Array.from(names.flatMap((name) => Array.from(tensors.get(name)?.data ?? [], Number)))

// The emulator takes seconds for a step: it gets LoRA with LoCon, and the text encoder; what the other cases have besides is the loss.
const cases = testDevice === 'cuda-sim' ? (['conv', 'te'] as const) : caseNames

for (const name of cases)
  test(`five steps of LoRA training equal sd-scripts and PyTorch: ${name}`, async (t) => {
    const { params, init } = readCase(name)
    const pipe = await loadPipeline(fixturePath('sd15-tiny', 'model'), { device: openDevice(testDevice, { computeDtype: 'f32' }) })
    const trainer = await createTrainer(pipe, trainerInput(params))
    t.is(trainer.modules.length, params.modules)
    await trainer.load(fixturePath('sd15-tiny', 'lora', init))
    const trainsText = params.text_encoder_lr !== null
    if (name !== 'opt') {
      const { dNoisy, dContext } = await inputGradients(pipe, trainerInput(params), batch(0, trainsText))
      const expected = caseTensors(`${name}.safetensors`)
      const noisy = relativeL2(dNoisy, floats(expected, 'd_noisy_latents'))
      t.true(noisy < 1e-4, `gradients of the noised latents differ by ${noisy}`)
      if (!trainsText) t.true(relativeL2(dContext, floats(expected, 'd_emb')) < 1e-4, 'gradients of the text states')
    }
    for (let step = 0; step < params.steps; step++) {
      const result = await trainer.step(batch(step, trainsText))
      t.true(Math.abs(result.loss / params.losses[step]! - 1) < 1e-5, `loss of step ${step}: ${result.loss}`)
      t.true(Math.abs(result.gradNorm / params.grad_norms_before_clip[step]! - 1) < 1e-4, `norm of step ${step}: ${result.gradNorm}`)
      if (step > 0 || name === 'opt') continue
      const expected = caseTensors(`${name}.grads.safetensors`)
      const gradients = trainer.gradients()
      t.deepEqual([...gradients.keys()].sort(), [...expected.keys()].sort())
      const names = [...expected.keys()]
      const distance = relativeL2(concatenate(names, gradients), concatenate(names, expected))
      t.true(distance < 1e-4, `gradients differ by ${distance}`)
    }
    if (['base', 'opt', 'te', 'conv'].includes(name)) {
      const final = caseTensors(`${name}.final.safetensors`)
      const start = caseTensors(init)
      const names = [...final.keys()].filter((key) => !key.endsWith('.alpha'))
      const ours = concatenate(names, trainer.adapter())
      const theirs = concatenate(names, final)
      const before = concatenate(names, start)
      const weights = relativeL2(ours, theirs)
      const change = relativeL2(ours.map((value, i) => value - before[i]!), theirs.map((value, i) => value - before[i]!))
      t.true(weights < 1e-4, `final weights differ by ${weights}`)
      t.true(change < 1e-2, `their change differs by ${change}`)
    }
    pipe.close()
  })
