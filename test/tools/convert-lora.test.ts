import test from 'ava'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { LorikeetError, type ErrorKind } from '../../lib/base/errors'
import { detectCheckpoint } from '../../lib/formats/checkpoint'
import { baseModules, parseLoraFile, requireLoraFits } from '../../lib/formats/lora-file'
import { openSafetensors, readTensorRaw, writeSafetensors, type TensorData } from '../../lib/formats/safetensors'
import { convertLora } from '../../lib/tools/convert-lora'
import { fixturePath } from '../helpers/fixture-tensors'
import { temporaryFolder } from '../helpers/safetensors-bytes'
import { tinyModel } from '../helpers/tiny-pipeline'

// lora_b has convolutions with a rank and an alpha of their own.
const files = ['lora_a', 'lora_b'].map((name) => fixturePath('sd15-tiny', 'lora_inference', `${name}.safetensors`))
const converted = (input: string, to: 'kohya' | 'peft') => {
  const out = join(temporaryFolder(), `${to}.safetensors`)
  convertLora(input, { to, out })
  return out
}
const write = (tensors: TensorData[], metadata = {}) => {
  const file = join(temporaryFolder(), 'made.safetensors')
  writeSafetensors(file, tensors, metadata)
  return file
}

test('kohya to PEFT and back gives the same tensors byte for byte, and the same metadata', (t) => {
  for (const file of files) {
    const back = openSafetensors(converted(converted(file, 'peft'), 'kohya'))
    const original = openSafetensors(file)
    t.deepEqual([...back.tensors.keys()], [...original.tensors.keys()])
    const bits = (opened: typeof back) =>
      [...opened.tensors.keys()].map((name) => Buffer.from(readTensorRaw(opened, name)).toString('hex'))
    t.deepEqual(bits(back), bits(original))
    t.like(back.metadata, original.metadata)
  }
})

test('a PEFT file means the same to a base model: paths, ranks and alphas', (t) => {
  const base = baseModules(detectCheckpoint(tinyModel))
  for (const file of files) {
    const out = openSafetensors(converted(file, 'peft'))
    const [got, expected] = [out, openSafetensors(file)].map((opened) => parseLoraFile(opened, base))
    requireLoraFits(got!, 'sd15')
    t.is(got!.style, 'diffusers')
    const facts = ({ modules }: typeof got & object) =>
      new Map([...modules].map(([key, { rank, alpha }]) => [key, { rank, alpha }]))
    t.deepEqual(facts(got!), facts(expected!))
    t.regex([...out.tensors.keys()][0]!, /^text_encoder\.text_model\.encoder\.layers\.0\..*\.lora_A\.weight$/)
    t.false([...out.tensors.keys()].some((key) => key.endsWith('.alpha')))
  }
})

test('the metadata names for each network the commonest rank and alpha, and the exceptions', (t) => {
  const { metadata } = openSafetensors(converted(files[1]!, 'peft'))
  const config = JSON.parse(metadata.lora_adapter_metadata!) as Record<string, unknown>
  t.like(config, {
    'unet.r': 3,
    'unet.lora_alpha': 3,
    'text_encoder.r': 3,
    'text_encoder.lora_alpha': 3,
    'text_encoder.rank_pattern': {},
  })
  const [ranks, alphas] = ['unet.rank_pattern', 'unet.alpha_pattern'].map(
    (key) => config[key] as Record<string, number>,
  )
  t.is(ranks!['down_blocks.0.resnets.0.conv1'], 2)
  t.is(alphas!['down_blocks.0.resnets.0.conv1'], 1)
  t.deepEqual(Object.keys(ranks!), Object.keys(alphas!))
  t.true((config['unet.target_modules'] as string[]).includes('mid_block.attentions.0.proj_in'))
  t.is(metadata.format, 'pt')
  t.is(metadata.ss_network_dim, '3')
})

test('an alpha that F16 cannot say is written in F32, and no alpha means the rank', (t) => {
  const module = 'unet.mid_block.attentions.0.proj_in'
  const half = (name: string, shape: number[]): TensorData => ({
    name: `${module}.${name}.weight`,
    dtype: 'F16',
    shape,
    data: new Float32Array(8),
  })
  const tensors = [half('lora_A', [2, 4, 1, 1]), half('lora_B', [4, 2, 1, 1])]
  const alpha = (metadata: object) => {
    const opened = openSafetensors(converted(write(tensors, metadata), 'kohya'))
    return [
      opened.tensors.get('lora_unet_mid_block_attentions_0_proj_in.alpha')?.dtype,
      [...parseLoraFile(opened).modules.values()][0]?.alpha,
    ]
  }
  t.deepEqual(alpha({ lora_adapter_metadata: '{"unet.lora_alpha":0.1}' }), ['F32', Math.fround(0.1)])
  t.deepEqual(alpha({ lora_adapter_metadata: '{"unet.lora_alpha":1.5}' }), ['F16', 1.5])
  t.deepEqual(alpha({}), ['F16', 2])
})

test('what the other keys cannot say is refused by name, and nothing is written', (t) => {
  const place = temporaryFolder()
  const refused = (input: string, message: RegExp, kind: ErrorKind = 'input', out = join(place, 'out.safetensors')) => {
    const error = t.throws(() => convertLora(input, { to: 'peft', out }), { instanceOf: LorikeetError })
    t.is(error.kind, kind)
    t.regex(error.message, message)
  }
  const tensor = (name: string, shape: number[]): TensorData => ({
    name,
    dtype: 'F32',
    shape,
    data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
  })
  const lora = (module: string) => [
    tensor(`${module}.lora_down.weight`, [2, 4]),
    tensor(`${module}.lora_up.weight`, [4, 2]),
  ]
  const attention = 'lora_unet_mid_block_attentions_0_proj_in'
  refused(
    write([...lora(attention), tensor(`${attention}.dora_scale`, [4, 1])]),
    /mid_block_attentions_0_proj_in is of the kind DoRA/,
  )
  const loha = ['hada_w1_a', 'hada_w2_a'].map((role) => tensor(`${attention}.${role}`, [4, 2]))
  const rest = ['hada_w1_b', 'hada_w2_b'].map((role) => tensor(`${attention}.${role}`, [2, 4]))
  refused(write([...loha, ...rest]), /is of the kind loha; expected LoRA or LoCon/)
  refused(write([...lora(attention), tensor('something.else', [1])]), /the key something\.else is no part of a LoRA/)
  refused(
    write(lora('lora_unet_input_blocks_1_1_proj_in')),
    /no module of Stable Diffusion 1\.x under its name in diffusers/,
  )
  refused(write([tensor(`${attention}.lora_down.weight`, [2, 4])]), /parts of .*proj_in are missing/)
  refused(fixturePath('sd15-tiny', 'single', 'sd15-tiny.safetensors'), /base model, not a LoRA.*--to diffusers/)
  refused(tinyModel, /expected a safetensors file, received a folder/)
  refused(files[0]!, /the output is the input/, 'usage', files[0])
  t.deepEqual(fs.readdirSync(place), [])
})
