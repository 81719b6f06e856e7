import test from 'ava'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writePng } from '../../../lib/generate/png'
import { fixturePath } from '../../helpers/fixture-tensors'
import { runCli } from '../../helpers/run-cli'
import { temporaryFolder } from '../../helpers/safetensors-bytes'

const lora = fixturePath('sd15-tiny', 'lora_inference', 'lora_b.safetensors')

test('a LoRA is described for people', async (t) => {
  const { code, out, err } = await runCli(['inspect', lora])
  t.is(code, 0, err)
  for (const part of [/Stable Diffusion 1\.x/, /rank\/alpha\s+.*3\/3/, /No NaN/, /up_blocks/]) t.regex(out, part)
})

test('--json prints the same as one record', async (t) => {
  const { records } = await runCli(['inspect', lora, '--json'])
  t.is(records().length, 1)
  const [record] = records() as [{ event: string; lora: { ranks: { rank: number }[] }; tensors: unknown[] }]
  t.is(record.event, 'inspection')
  t.deepEqual(record.lora.ranks.map(({ rank }) => rank).sort(), [2, 3])
  t.true(record.tensors.length > 600)
})

test('the settings of a picture are shown', async (t) => {
  const file = join(temporaryFolder(), 'a.png')
  const settings = { prompt: 'a cat', negativePrompt: '', steps: 3, sampler: 'ddim', cfg: 7, seed: 4, width: 8, height: 8, clipSkip: 1, model: 'm', loras: [] }
  await writePng(file, { data: new Float32Array(192), shape: [1, 3, 8, 8] }, settings)
  const { out } = await runCli(['inspect', file])
  t.regex(out, /^a cat\nSteps: 3, Sampler: DDIM/)
  const { records } = await runCli(['inspect', file, '--json'])
  t.like(records()[0], { event: 'picture', file })
})

test('a broken file ends with exit code 3 and its name', async (t) => {
  const file = join(temporaryFolder(), 'broken.safetensors')
  writeFileSync(file, 'not a header')
  const { code, err } = await runCli(['inspect', file])
  t.is(code, 3)
  t.regex(err, /broken\.safetensors/)
  t.is((await runCli(['inspect', `${file}.png`])).code, 3)
})
