import * as fs from 'node:fs'
import * as path from 'node:path'
import test from 'ava'
import { LorikeetError } from '../../lib/base/errors'
import { configMetadataKey, detectCheckpoint } from '../../lib/formats/checkpoint'
import { openSafetensors, readTensorRaw, type TensorData, writeSafetensors } from '../../lib/formats/safetensors'
import { temporaryFolder } from '../helpers/safetensors-bytes'

const folder = 'test/fixtures/sd15-tiny/model'
const single = 'test/fixtures/sd15-tiny/single/sd15-tiny.safetensors'

function refused(t: import('ava').ExecutionContext, location: string, message: RegExp): void {
  const error = t.throws(() => detectCheckpoint(location), { instanceOf: LorikeetError })
  t.is(error.kind, 'input')
  t.regex(error.message, message)
}

function tensorsOf(file: string): TensorData[] {
  const opened = openSafetensors(file)
  return [...opened.tensors.values()].map(({ name, dtype, shape }) => ({
    name,
    dtype,
    shape,
    data: () => readTensorRaw(opened, name),
  }))
}

/** A copy of the model folder whose files may be changed. */
function copyFolder(): string {
  const copy = path.join(temporaryFolder(), 'model')
  fs.cpSync(folder, copy, { recursive: true })
  return copy
}

function writeSingle(change: (tensors: TensorData[]) => TensorData[], metadata = {}): string {
  const file = path.join(temporaryFolder(), 'changed.safetensors')
  writeSafetensors(file, change(tensorsOf(single)), metadata)
  return file
}

const dummy = (name: string, shape: number[] = [1]): TensorData =>
  ({ name, dtype: 'F32', shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) })

test('folder and single file give the same weights under the same names and shapes', t => {
  const a = detectCheckpoint(folder)
  const b = detectCheckpoint(single)
  t.is(a.layout, 'diffusers')
  t.is(b.layout, 'ldm')
  for (const component of ['unet', 'vae', 'textEncoder'] as const) {
    const left = a.components[component].tensors
    const right = b.components[component].tensors
    t.deepEqual([...left.keys()].sort(), [...right.keys()].sort())
    for (const [name, weight] of left) {
      const other = right.get(name)
      const bytes = (w: typeof weight) => {
        const content = fs.readFileSync(w.file)
        return content.subarray(w.offset, w.offset + w.bytes)
      }
      t.deepEqual(other?.shape, weight.shape, name)
      if (name.endsWith('norm1.weight')) t.true(other !== undefined && bytes(weight).equals(bytes(other)), name)
    }
  }
  t.is(a.configs.unet?.norm_num_groups, 8)
  t.is(a.configs.scheduler?.beta_end, 0.012)
  t.is(a.tokenizer, path.join(folder, 'tokenizer'))
  t.is(a.predictionType, undefined)
  t.is(b.ignored.length, 7)
})

test('prediction type and zero terminal SNR are read from the scheduler, a key or the metadata', t => {
  const copy = copyFolder()
  const scheduler = path.join(copy, 'scheduler', 'scheduler_config.json')
  const set = (options: object) => {
    const config: object = JSON.parse(fs.readFileSync(scheduler, 'utf8'))
    fs.writeFileSync(scheduler, JSON.stringify({ ...config, ...options }))
  }
  set({ prediction_type: 'v_prediction', rescale_betas_zero_snr: true })
  t.is(detectCheckpoint(copy).predictionType, 'v_prediction')
  t.true(detectCheckpoint(copy).zeroTerminalSnr)
  set({ prediction_type: 'sample' })
  refused(t, copy, /expected prediction_type epsilon or v_prediction, received "sample"/)
  t.is(detectCheckpoint(writeSingle(list => [...list, dummy('v_pred', [0])])).predictionType, 'v_prediction')
  for (const [stated, expected] of [['v', 'v_prediction'], ['epsilon', 'epsilon']] as const) {
    const file = writeSingle(list => list, { 'modelspec.prediction_type': stated })
    t.is(detectCheckpoint(file).predictionType, expected)
  }
})

test('a single file can carry the configurations in its metadata', t => {
  const configs = { unet: { norm_num_groups: 8 }, scheduler: { prediction_type: 'v_prediction' } }
  const found = detectCheckpoint(writeSingle(list => list, { [configMetadataKey]: JSON.stringify(configs) }))
  t.deepEqual(found.configs, configs)
  t.is(found.predictionType, 'v_prediction')
  refused(t, writeSingle(list => list, { [configMetadataKey]: '{' }), /lorikeet.configs is damaged/)
})

test('half-precision variants and weights in parts are found', t => {
  const copy = copyFolder()
  const vae = path.join(copy, 'vae')
  fs.renameSync(
    path.join(vae, 'diffusion_pytorch_model.safetensors'),
    path.join(vae, 'diffusion_pytorch_model.fp16.safetensors'),
  )
  const unet = path.join(copy, 'unet')
  const all = tensorsOf(path.join(unet, 'diffusion_pytorch_model.safetensors'))
  fs.rmSync(path.join(unet, 'diffusion_pytorch_model.safetensors'))
  const parts = { 'part-1.safetensors': all.slice(0, 300), 'part-2.safetensors': all.slice(300) }
  const map: Record<string, string> = {}
  // The tensors are read from the untouched fixture, since the copy is gone.
  const source = tensorsOf(path.join(folder, 'unet', 'diffusion_pytorch_model.safetensors'))
  for (const [part, tensors] of Object.entries(parts)) {
    writeSafetensors(path.join(unet, part), tensors.map(({ name }) => source.find(s => s.name === name) ?? dummy(name)))
    for (const { name } of tensors) map[name] = part
  }
  const index = path.join(unet, 'diffusion_pytorch_model.safetensors.index.json')
  fs.writeFileSync(index, JSON.stringify({ metadata: {}, weight_map: map }))
  const found = detectCheckpoint(copy)
  t.is(found.components.unet.tensors.size, 686)
  t.is(found.components.unet.files.length, 2)
  t.regex(found.components.vae.files[0], /fp16/)

  fs.writeFileSync(index, JSON.stringify({ weight_map: { ...map, 'conv_in.bias': '../../secret.safetensors' } }))
  refused(t, copy, /impossible file for "conv_in.bias"/)
  fs.writeFileSync(index, JSON.stringify({ weight_map: { ...map, 'absent.weight': 'part-1.safetensors' } }))
  refused(t, copy, /index names the tensor "absent.weight", which is not there/)
  fs.writeFileSync(index, '{"weight_map":')
  refused(t, copy, /not valid JSON/)
})

test('folders with something missing say what', t => {
  const copy = copyFolder()
  const weights = path.join(copy, 'vae', 'diffusion_pytorch_model.safetensors')
  fs.renameSync(weights, path.join(copy, 'vae', 'diffusion_pytorch_model.bin'))
  refused(t, copy, /PyTorch pickle file.*convert it/)
  fs.rmSync(path.join(copy, 'vae', 'diffusion_pytorch_model.bin'))
  refused(t, copy, /no weights in this folder/)
  fs.rmSync(path.join(copy, 'vae'), { recursive: true })
  refused(t, copy, /vae: the model has no such folder/)
  refused(t, path.join(copy, 'unet'), /not a model folder/)
  refused(t, path.join(copy, 'nowhere'), /no such file or folder/)
})

test('missing tensors are named and counted', t => {
  const without = writeSingle(list => list.filter(({ name }) => !/input_blocks\.1\.1\.(norm|proj_in)/.test(name)))
  refused(t, without, /UNet lacks 4 tensors: down_blocks\.0\.attentions\.0\.norm\.weight.* and 1 more/)
  const noVae = writeSingle(list => list.filter(({ name }) => !name.startsWith('first_stage_model.')))
  refused(t, noVae, /the model has no autoencoder \(VAE\)/)
  const noText = writeSingle(list => list.filter(({ name }) => !name.startsWith('cond_stage_model.')))
  refused(t, noText, /the model has no text encoder/)
})

test('other kinds of models are named', t => {
  const file = (...tensors: TensorData[]) => {
    const target = path.join(temporaryFolder(), 'x.safetensors')
    writeSafetensors(target, tensors)
    return target
  }
  const unet = 'model.diffusion_model.'
  refused(t, 'test/fixtures/sd15-tiny/lora_inference/lora_a.safetensors', /LoRA file.*Give the base model here/)
  refused(t, file(dummy('conditioner.embedders.1.model.ln_final.weight')), /Stable Diffusion XL model/)
  refused(t, file(dummy('conditioner.embedders.0.model.ln_final.weight')), /refiner/)
  refused(t, file(dummy('cond_stage_model.model.ln_final.weight')), /Stable Diffusion 2\.x/)
  refused(t, file(dummy('double_blocks.0.img_attn.qkv.weight')), /Flux/)
  refused(t, file(dummy(`${unet}joint_blocks.0.x_block.attn.qkv.weight`)), /Stable Diffusion 3/)
  refused(t, file(dummy('control_model.input_blocks.0.0.weight')), /ControlNet/)
  refused(t, file(dummy('decoder.conv_in.weight')), /received an autoencoder \(VAE\) alone/)
  refused(t, file(dummy('something')), /received keys such as something/)
  refused(t, file(), /received keys such as none at all/)
  const inpainting = writeSingle(list =>
    list.map(tensor => (tensor.name === `${unet}input_blocks.0.0.weight` ? dummy(tensor.name, [16, 9, 3, 3]) : tensor)),
  )
  refused(t, inpainting, /inpainting model \(9 input channels\)/)
  const wide = `${unet}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight`
  const context = (width: number) =>
    writeSingle(list => list.map(tensor => (tensor.name === wide ? dummy(wide, [16, width]) : tensor)))
  refused(t, context(1024), /Stable Diffusion 2\.x model \(text width 1024\)/)
  refused(t, context(12), /do not belong together; expected a text encoder of width 12.*received 8/)
})

test('a pipeline class of another family is refused before its files are read', t => {
  const copy = copyFolder()
  const index = path.join(copy, 'model_index.json')
  for (const [name, words] of [
    ['StableDiffusionXLPipeline', /Stable Diffusion XL model \(StableDiffusionXLPipeline\)/],
    ['StableDiffusionInpaintPipeline', /inpainting/],
    ['FluxPipeline', /Flux/],
  ] as const) {
    fs.writeFileSync(index, JSON.stringify({ _class_name: name }))
    refused(t, copy, words)
  }
  fs.writeFileSync(index, '[]')
  refused(t, copy, /not a configuration/)
})
