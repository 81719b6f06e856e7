import test from 'ava'
import * as fs from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { readPngSettings } from '../../../lib/generate/png'
import { fixturePath } from '../../helpers/fixture-tensors'
import { runCli } from '../../helpers/run-cli'
import { temporaryFolder } from '../../helpers/safetensors-bytes'
import { tinyModel } from '../../helpers/tiny-pipeline'

const lora = fixturePath('sd15-tiny', 'lora_inference', 'lora_a.safetensors')
const small = ['--base', tinyModel, '--width', '64', '--height', '48', '--steps', '2', '--seed', '5', '--compute-dtype', 'f32']
const generate = (...args: string[]) => runCli(['generate', ...small, ...args])

test('a picture is written with its settings, and made again from the same seed to the same bytes', async (t) => {
  const folder = temporaryFolder()
  const files = ['a.png', 'b.png'].map((name) => join(folder, name))
  const first = await generate('--prompt', 'a cat', '--negative', 'blurry', '--sampler', 'euler_a', '--out', files[0]!)
  t.is(first.code, 0, first.err)
  t.is(first.out, `${files[0]}  seed 5\n`)
  t.like(readPngSettings(files[0]!), { prompt: 'a cat', negativePrompt: 'blurry', sampler: 'euler_a', seed: 5, width: 64, height: 48 })
  t.like(await sharp(files[0]).metadata(), { width: 64, height: 48, channels: 3 })
  await generate('--prompt', 'a cat', '--negative', 'blurry', '--sampler', 'euler_a', '--out', files[1]!)
  t.true(fs.readFileSync(files[0]!).equals(fs.readFileSync(files[1]!)))
})

test('several pictures are numbered, and --json prints one record each', async (t) => {
  const folder = temporaryFolder()
  const result = await generate('--prompt', 'a cat', '--count', '2', '--out', join(folder, 'out.png'), '--json')
  t.is(result.code, 0, result.err)
  t.deepEqual(fs.readdirSync(folder).sort(), ['out-1.png', 'out-2.png'])
  t.deepEqual(
    result.records().map(({ event, file, seed }) => [event, file, seed]),
    [
      ['image', join(folder, 'out-1.png'), 5],
      ['image', join(folder, 'out-2.png'), 6],
    ],
  )
})

test('strengths of a LoRA are compared in one row: 0 is the base, and each picture is also a file', async (t) => {
  const folder = temporaryFolder()
  const prompt = 'a cat <lora:lora_a>'
  const result = await generate('--prompt', prompt, '--lora-dir', join(lora, '..'), '--strengths', '0,1', '--out', join(folder, 'row.png'))
  t.is(result.code, 0, result.err)
  t.deepEqual(fs.readdirSync(folder).sort(), ['row-s0.png', 'row-s1.png', 'row.png'])
  const pixels = (file: string, left = 0) => sharp(join(folder, file)).extract({ left, top: 0, width: 64, height: 48 }).raw().toBuffer()
  t.is((await sharp(join(folder, 'row.png')).metadata()).width, 128)
  t.deepEqual(await pixels('row.png'), await pixels('row-s0.png'))
  t.deepEqual(await pixels('row.png', 64), await pixels('row-s1.png'))
  t.notDeepEqual(await pixels('row-s0.png'), await pixels('row-s1.png'))

  await generate('--prompt', 'a cat', '--out', join(folder, 'base.png'))
  t.deepEqual(await pixels('row-s0.png'), await pixels('base.png'))
  t.deepEqual(readPngSettings(join(folder, 'row-s1.png'))?.loras, [{ name: 'lora_a', strength: 1, clipStrength: 1 }])
})

test('--lora and a tag in the prompt do the same', async (t) => {
  const folder = temporaryFolder()
  await generate('--prompt', 'a cat', '--lora', `${lora}:0.8:0.5`, '--out', join(folder, 'option.png'))
  await generate('--prompt', `a cat <lora:${lora}:0.5:0.8>`, '--out', join(folder, 'tag.png'))
  t.true(fs.readFileSync(join(folder, 'option.png')).equals(fs.readFileSync(join(folder, 'tag.png'))))
})

test('what does not fit is refused with its exit code before anything is computed', async (t) => {
  const out = join(temporaryFolder(), 'out.png')
  const base = ['generate', '--base', tinyModel]
  const wrong: [string[], number, RegExp][] = [
    [['--prompt', 'x', '--out', out, '--clip-skip', '9'], 2, /clip_skip/],
    [['--prompt', 'x', '--out', out, '--cfg', 'much'], 2, /cfg/],
    [['--prompt', 'x', '--out', out, '--sampler', 'magic'], 2, /sampler/],
    [['--prompt', 'x', '--out', out, '--width', '100'], 2, /width: images need sides that are multiples of 8.*nearest that fits is 104/],
    [['--prompt', 'x', '--out', join(out, '..', 'no', 'out.png')], 2, /no such folder/],
    [['--prompt', 'x', '--out', out, '--strengths', '0,1'], 2, /--strengths.*one LoRA only/],
    [['--prompt', 'x', '--out', out, '--lora', 'missing.safetensors:0.5'], 3, /missing\.safetensors: there is no such file/],
    [['--prompt', 'x <lora:nobody>', '--out', out], 3, /<lora:nobody>.*--lora-dir/],
    [['--prompt', 'x <lora:a:much>', '--out', out], 2, /"much" is not a strength/],
    [['--prompt', 'x', '--out', out, '--lora', `${tinyModel}/unet/diffusion_pytorch_model.safetensors`], 3, /LoRA/i],
    [['--out', out], 2, /prompt/],
  ]
  for (const [args, code, message] of wrong) {
    const result = await runCli([...base, ...args])
    t.is(result.code, code, `${args.join(' ')}: ${result.err}`)
    t.regex(result.err, message)
    t.false(fs.existsSync(out))
  }
})
