import test from 'ava'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { LorikeetError, type ErrorKind } from '../../lib/base/errors'
import { configMetadataKey, detectCheckpoint } from '../../lib/formats/checkpoint'
import { openSafetensors, readTensorRaw, writeSafetensors, type TensorData } from '../../lib/formats/safetensors'
import { convertBase, type ConvertOptions } from '../../lib/tools/convert'
import { builtInClipTokenizer, readClipTokenizer } from '../../lib/text/clip-tokenizer'
import { fixturePath, numbers, readFixtureTensors } from '../helpers/fixture-tensors'
import { temporaryFolder } from '../helpers/safetensors-bytes'
import { loadTiny, rowsOf, tinyModel, values } from '../helpers/tiny-pipeline'

const weightFiles = ['unet/diffusion_pytorch_model', 'vae/diffusion_pytorch_model', 'text_encoder/model']
const configFiles = ['model_index', 'unet/config', 'vae/config', 'text_encoder/config', 'scheduler/scheduler_config']
const json = (...parts: string[]) => JSON.parse(fs.readFileSync(join(...parts), 'utf8')) as Record<string, unknown>
const tensors = (file: string): TensorData[] => {
  const opened = openSafetensors(file)
  return [...opened.tensors.values()].map(({ name, dtype, shape }) => ({
    name,
    dtype,
    shape,
    data: () => readTensorRaw(opened, name),
  }))
}
/** Everything of a file as plain data, for comparing bit for bit. */
const content = (file: string) =>
  new Map(
    tensors(file).map(({ name, dtype, shape, data }) => [
      name,
      `${dtype} ${shape} ${Buffer.from((data as () => Uint8Array)()).toString('base64')}`,
    ]),
  )

// The single file and the folder made from it, which most tests look at.
const shared = temporaryFolder()
const single = join(shared, 'tiny.safetensors')
const folder = join(shared, 'tiny')
test.before(() => {
  convertBase(tinyModel, { to: 'single-file', out: single })
  convertBase(single, { to: 'diffusers', out: folder })
})

test('folder to single file to folder gives the same tensors bit for bit', (t) => {
  for (const file of weightFiles) {
    const [got, expected] = [folder, tinyModel].map((model) => content(join(model, `${file}.safetensors`)))
    t.deepEqual(got, expected, file)
    t.is(openSafetensors(join(folder, `${file}.safetensors`)).metadata.format, 'pt')
  }
})

test('the single file has the keys, shapes and values of the one that diffusers made', (t) => {
  const [got, reference] = [content(single), content(fixturePath('sd15-tiny', 'single', 'sd15-tiny.safetensors'))]
  const weights = [...reference].filter(([key]) =>
    /^(model\.diffusion_model|first_stage_model|cond_stage_model)\.(?!.*position_ids)/.test(key),
  )
  t.deepEqual([...got.keys()].sort(), weights.map(([key]) => key).sort())
  for (const [key, value] of weights) if (got.get(key) !== value) t.fail(key)
})

test('a folder made from a single file computes what the original computes, bit for bit', async (t) => {
  const unet = readFixtureTensors('sd15-tiny', 'unet.safetensors')
  const text = readFixtureTensors('sd15-tiny', 'text_encoder.safetensors')
  const vae = readFixtureTensors('sd15-tiny', 'vae.safetensors')
  const run = async (location: string) => {
    const pipe = await loadTiny('f32', location)
    const results = [
      await pipe.predict({
        latents: values(unet, 'a.x'),
        timesteps: numbers(unet, 'a.t'),
        context: values(unet, 'a.emb'),
      }),
      await pipe.encodeIds(rowsOf(text, 'ids')),
      (await pipe.encodeImage(values(vae, 's1.image'))).mean,
      await pipe.decodeLatents(values(vae, 's1.latents')),
    ]
    pipe.close()
    return results
  }
  t.deepEqual(await run(folder), await run(tinyModel))
})

test('the configuration files agree with those of the original', (t) => {
  for (const file of configFiles) {
    const [got, expected] = [folder, tinyModel].map((model) => json(model, `${file}.json`))
    const { _diffusers_version: _a, ...kept } =
      file === 'model_index' ? expected! : { ...expected!, _diffusers_version: 0 }
    t.like(got, kept, file)
  }
  t.is(json(folder, 'scheduler', 'scheduler_config.json').prediction_type, 'epsilon')
  t.regex(fs.readFileSync(join(folder, 'text_encoder', 'config.json'), 'utf8'), /"initializer_factor": 1\.0,/)
})

test('a tokenizer made from the built-in data is that of the original', (t) => {
  for (const name of ['vocab.json', 'special_tokens_map.json', 'tokenizer_config.json']) {
    t.deepEqual(json(folder, 'tokenizer', name), json(tinyModel, 'tokenizer', name), name)
  }
  const merges = [folder, tinyModel].map((model) => fs.readFileSync(join(model, 'tokenizer', 'merges.txt'), 'utf8'))
  t.is(merges[0], merges[1])
  t.deepEqual(
    readClipTokenizer(join(folder, 'tokenizer')).tokenize('ohwx café 3.5'),
    builtInClipTokenizer().tokenize('ohwx café 3.5'),
  )
})

/** The single file with other configurations than its own. */
function withConfigs(change: (configs: Record<string, Record<string, unknown>>) => object, metadata = {}): string {
  const configs = JSON.parse(openSafetensors(single).metadata[configMetadataKey]!) as Record<
    string,
    Record<string, unknown>
  >
  const file = join(temporaryFolder(), 'changed.safetensors')
  writeSafetensors(file, tensors(single), { [configMetadataKey]: JSON.stringify(change(configs)), ...metadata })
  return file
}

test('what the model predicts, its noise schedule, its heads and its size are written down', (t) => {
  const out = join(temporaryFolder(), 'out')
  const file = withConfigs(
    // As training writes them: only what tensors do not show.
    ({ unet, vae, textEncoder }) => ({
      unet: { attention_head_dim: [2, 4, 8, 8], norm_num_groups: unet!.norm_num_groups },
      vae: { norm_num_groups: vae!.norm_num_groups, scaling_factor: 0.5 },
      textEncoder: { num_attention_heads: textEncoder!.num_attention_heads, hidden_act: 'gelu' },
      scheduler: { prediction_type: 'v_prediction', rescale_betas_zero_snr: true },
    }),
    { 'modelspec.resolution': '128x128' },
  )
  convertBase(file, { to: 'diffusers', out })
  t.like(json(out, 'unet', 'config.json'), { attention_head_dim: [2, 4, 8, 8], sample_size: 16, norm_num_groups: 8 })
  t.like(json(out, 'vae', 'config.json'), { scaling_factor: 0.5, sample_size: 128 })
  t.like(json(out, 'text_encoder', 'config.json'), { hidden_act: 'gelu', eos_token_id: 2, torch_dtype: 'float16' })
  t.deepEqual(json(out, 'scheduler', 'scheduler_config.json'), {
    _class_name: 'DDIMScheduler',
    _diffusers_version: json(out, 'unet', 'config.json')._diffusers_version,
    beta_end: 0.012,
    beta_schedule: 'scaled_linear',
    beta_start: 0.00085,
    clip_sample: false,
    num_train_timesteps: 1000,
    prediction_type: 'v_prediction',
    rescale_betas_zero_snr: true,
    set_alpha_to_one: false,
    steps_offset: 1,
    timestep_spacing: 'trailing',
    trained_betas: null,
  })
  t.deepEqual(json(out, 'model_index.json').scheduler, ['diffusers', 'DDIMScheduler'])

  const back = join(temporaryFolder(), 'back.safetensors')
  t.deepEqual(convertBase(out, { to: 'single-file', out: back }).leftOut, [])
  t.true(openSafetensors(back).tensors.has('v_pred') && openSafetensors(back).tensors.has('ztsnr'))
  t.like(detectCheckpoint(back), { predictionType: 'v_prediction', zeroTerminalSnr: true })
})

test('another dtype is written on demand, and the text encoder says it', (t) => {
  const out = join(temporaryFolder(), 'out')
  const { dtypes, bytes } = convertBase(single, { to: 'diffusers', out, dtype: 'f32' })
  t.deepEqual(dtypes, ['F32'])
  t.true(bytes > 4_000_000)
  for (const { dtype } of tensors(join(out, 'unet', 'diffusion_pytorch_model.safetensors'))) t.is(dtype, 'F32')
  t.is(json(out, 'text_encoder', 'config.json').torch_dtype, 'float32')
  const back = join(temporaryFolder(), 'back.safetensors')
  convertBase(out, { to: 'single-file', out: back, dtype: 'f16' })
  t.deepEqual(content(back), content(single))
})

test('what is not taken over is named, constants apart', (t) => {
  const extra = ['model_ema.decay_x', 'betas', 'cond_stage_model.transformer.text_model.embeddings.position_ids']
  const file = join(temporaryFolder(), 'extra.safetensors')
  const more = extra.map((name): TensorData => ({ name, dtype: 'F32', shape: [1], data: Float32Array.of(1) }))
  writeSafetensors(file, [...tensors(single), ...more], openSafetensors(single).metadata)
  t.deepEqual(convertBase(file, { to: 'diffusers', out: join(temporaryFolder(), 'out') }).leftOut, [
    'model_ema.decay_x',
  ])
})

test("a tokenizer that is not CLIP's own is copied to a folder, and missed in a single file", (t) => {
  const model = join(temporaryFolder(), 'model')
  fs.cpSync(tinyModel, model, { recursive: true })
  const merges = join(model, 'tokenizer', 'merges.txt')
  fs.writeFileSync(merges, fs.readFileSync(merges, 'utf8').replace('\nt h\n', '\n'))
  fs.rmSync(join(model, 'tokenizer', 'tokenizer_config.json'))
  const out = join(temporaryFolder(), 'out')
  convertBase(model, { to: 'diffusers', out })
  t.is(fs.readFileSync(join(out, 'tokenizer', 'merges.txt'), 'utf8'), fs.readFileSync(merges, 'utf8'))
  t.is(json(out, 'tokenizer', 'tokenizer_config.json').tokenizer_class, 'CLIPTokenizer')
  const { notes } = convertBase(model, { to: 'single-file', out: join(temporaryFolder(), 'out.safetensors') })
  t.regex(notes.join('\n'), /tokenizer is not CLIP's own/)
  t.notRegex(
    convertBase(tinyModel, { to: 'single-file', out: join(temporaryFolder(), 'x.safetensors') }).notes.join('\n'),
    /tokenizer/,
  )
})

test('what cannot or must not be written is refused, and nothing is left behind', (t) => {
  const place = temporaryFolder()
  const model = join(place, 'model')
  fs.cpSync(folder, model, { recursive: true })
  const before = fs.readdirSync(place, { recursive: true }).sort()
  const refused = (input: string, options: ConvertOptions, kind: ErrorKind, message: RegExp) => {
    const error = t.throws(() => convertBase(input, options), { instanceOf: LorikeetError })
    t.is(error.kind, kind)
    t.regex(error.message, message)
  }
  const file = join(place, 'out.safetensors')
  refused(model, { to: 'single-file', out: join(model, 'in.safetensors') }, 'usage', /lies inside the input/)
  refused(model, { to: 'diffusers', out: model, overwrite: true }, 'usage', /the output is the input/)
  refused(model, { to: 'diffusers', out: place, overwrite: true }, 'usage', /input .* lies inside the output/)
  refused(
    model,
    { to: 'single-file', out: join(place, 'out.ckpt') },
    'usage',
    /expected a name that ends in \.safetensors/,
  )
  refused(
    model,
    { to: 'single-file', out: join(place, 'absent', 'x.safetensors') },
    'failed',
    /the folder does not exist.*Create it/,
  )
  refused(single, { to: 'diffusers', out: model }, 'usage', /a folder of this name already.*--overwrite/)
  refused(single, { to: 'diffusers', out: single, overwrite: true }, 'usage', /the output is the input/)
  refused(
    fixturePath('sd15-tiny', 'lora_inference', 'lora_a.safetensors'),
    { to: 'diffusers', out: file },
    'input',
    /LoRA file.*--to kohya or --to peft/,
  )
  refused('random:sd15', { to: 'diffusers', out: file }, 'usage', /random weights lie in no file/)
  refused(join(place, 'nowhere'), { to: 'diffusers', out: file }, 'input', /no such file or folder/)
  const other = join(temporaryFolder(), 'xl.safetensors')
  writeSafetensors(other, [
    { name: 'conditioner.embedders.1.model.ln_final.weight', dtype: 'F32', shape: [1], data: Float32Array.of(1) },
  ])
  refused(other, { to: 'diffusers', out: file }, 'input', /Stable Diffusion XL/)
  t.deepEqual(fs.readdirSync(place, { recursive: true }).sort(), before)
})

test('--overwrite replaces a converted folder, and no folder that holds anything else', (t) => {
  const place = temporaryFolder()
  const model = join(place, 'model')
  fs.cpSync(folder, model, { recursive: true })
  fs.writeFileSync(join(model, 'unet', 'config.json'), '{}')
  // A conversion that was killed has left its folder behind; this process number is not in use.
  fs.mkdirSync(join(place, `.model.${2 ** 22 + 1}-0123abcd.tmp`, 'model'), { recursive: true })
  fs.mkdirSync(join(place, `.model.${process.pid}-0123abcd.tmp`))
  convertBase(single, { to: 'diffusers', out: model, overwrite: true })
  t.is(json(model, 'unet', 'config.json')._class_name, 'UNet2DConditionModel')
  t.deepEqual(fs.readdirSync(place).sort(), [`.model.${process.pid}-0123abcd.tmp`, 'model'])

  fs.writeFileSync(join(model, 'notes.txt'), 'mine')
  const error = t.throws(() => convertBase(single, { to: 'diffusers', out: model, overwrite: true }), {
    instanceOf: LorikeetError,
  })
  t.regex(error.message, /holds more than a converted model: notes\.txt/)
  t.is(fs.readFileSync(join(model, 'notes.txt'), 'utf8'), 'mine')
})
