import test from 'ava'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { readPngSettings } from '../../../lib/generate/png'
import { runCli } from '../../helpers/run-cli'
import { temporaryFolder } from '../../helpers/safetensors-bytes'
import { drawPictures, merge, tinyModel, tinyRecipe } from '../../train/tiny-run'

interface Step {
  loss: number
  gradNorm: number
}

test('a run on the emulated card has the losses of the processor, and its LoRA is read and drawn with', async (t) => {
  const folder = temporaryFolder()
  const pictures = join(folder, '1_ohwx bird')
  await drawPictures(pictures)
  for (const i of [0, 3, 4, 5]) rmSync(join(pictures, `bird${i}.png`)) // the emulator takes a second for each
  const recipe = join(folder, 'tiny.yaml')
  writeFileSync(recipe, stringify(merge(tinyRecipe(folder, pictures), { dataset: { batch_size: 1 }, train: { steps: 2 } })))

  const train = async (device: string) => {
    const options = ['--device', device, '--compute-dtype', 'f32', '--set', `output.name=${device}`, '--json']
    const result = await runCli(['train', recipe, ...options])
    t.is(result.code, 0, result.err)
    return result.records()
  }
  const steps = (records: Record<string, unknown>[]) => records.filter(({ event }) => event === 'step') as unknown as Step[]
  const expected = steps(await train('cpu'))
  const records = await train('cuda-sim')
  t.true(records.some(({ event, text }) => event === 'note' && /emulated/.test(String(text))))
  const got = steps(records)
  t.is(got.length, 2)
  // The tolerances of test/parity/lora-training.test.ts.
  for (const [i, { loss, gradNorm }] of got.entries()) {
    t.true(Math.abs(loss / expected[i]!.loss - 1) < 1e-5, `loss of step ${i}: ${loss}, on the processor ${expected[i]!.loss}`)
    t.true(Math.abs(gradNorm / expected[i]!.gradNorm - 1) < 1e-4, `norm of step ${i}: ${gradNorm}`)
  }

  const lora = join(folder, 'cuda-sim.safetensors')
  const [inspected] = (await runCli(['inspect', lora, '--json'])).records()
  t.like(inspected, { lora: { summary: { rank: 4, steps: 2, resolution: '64x64' } } })

  const picture = join(folder, 'bird.png')
  const size = ['--width', '64', '--height', '48', '--steps', '1', '--seed', '5']
  const args = ['--base', tinyModel, '--lora', lora, '--prompt', 'ohwx bird', '--device', 'cuda-sim', '--out', picture]
  const drawn = await runCli(['generate', ...args, ...size])
  t.is(drawn.code, 0, drawn.err)
  t.like(readPngSettings(picture), { loras: [{ name: 'cuda-sim', strength: 1, clipStrength: 1 }], width: 64 })
})
