import * as fs from 'node:fs'
import test from 'ava'
import { ldmLayout, mapLdmKeys, toLdmKey, toLdmShape } from '../../../lib/formats/keymaps/ldm'
import {
  clipTensorNames,
  clipTopology,
  sd15Clip,
  sd15Unet,
  sd15Vae,
  unetTensorNames,
  unetTopology,
  vaeTensorNames,
  vaeTopology,
} from '../../../lib/formats/keymaps/topology'
import { openSafetensors } from '../../../lib/formats/safetensors'

interface Fixture {
  map: Record<string, ['unet' | 'vae' | 'text_encoder', string, number[], number[]]>
  extra_keys: Record<string, unknown>
}
const fixture: Fixture = JSON.parse(fs.readFileSync('test/fixtures/sd15-tiny/single/sd15-tiny.json', 'utf8'))
const components = { unet: 'unet', vae: 'vae', text_encoder: 'textEncoder' } as const

/** Stable Diffusion 1.5's own widths, by level. */
function shortcutOf(unet: number[], vae: number[]): Record<'unet' | 'vae', (path: string) => boolean> {
  const first = /blocks\.(\d+)\.resnets\.0$/
  const changes = (widths: number[], path: string) => {
    const level = Number(first.exec(path)?.[1] ?? 0)
    return first.test(path) && level > 0 && widths[level] !== widths[level - 1]
  }
  return {
    unet: path => path.startsWith('up_') || (path.startsWith('down_') && changes(unet, path)),
    vae: path =>
      path.includes('down_blocks')
        ? changes(vae, path)
        : path.includes('up_blocks') && changes([...vae].reverse(), path),
  }
}
const real = shortcutOf([320, 640, 1280, 1280], [128, 256, 512, 512])
const realNames = {
  unet: unetTensorNames(sd15Unet, real.unet),
  vae: vaeTensorNames(sd15Vae, real.vae),
  textEncoder: clipTensorNames(sd15Clip),
}

test('every key of the single file maps to the tensor that the fixture names, and back', t => {
  const file = openSafetensors('test/fixtures/sd15-tiny/single/sd15-tiny.safetensors')
  const { names, ignored } = mapLdmKeys(file.tensors.keys())
  t.deepEqual([...ignored].sort(), Object.keys(fixture.extra_keys).sort())
  t.is(names.size, Object.keys(fixture.map).length)
  const layout = ldmLayout(
    [...names.values()].filter(({ component }) => component === 'unet').map(({ name }) => name),
    [...names.values()].filter(({ component }) => component === 'vae').map(({ name }) => name),
  )
  for (const [key, [component, name, shape, fileShape]] of Object.entries(fixture.map)) {
    const expected = { component: components[component], name }
    t.deepEqual(names.get(key), expected)
    t.is(toLdmKey(expected, layout), key)
    t.deepEqual(toLdmShape(expected, shape), fileShape, key)
  }
})

test("the real model's names have the known counts and no doubles", t => {
  t.is(realNames.unet.length, 686)
  t.is(realNames.vae.length, 248)
  t.is(realNames.textEncoder.length, 196)
  const all = Object.entries(realNames).flatMap(([component, names]) => names.map(name => `${component} ${name}`))
  t.is(new Set(all).size, all.length)
})

test("the single-file map is a bijection on the real model's names", t => {
  const layout = ldmLayout(realNames.unet, realNames.vae)
  const keys = new Map<string, string>()
  for (const component of ['unet', 'vae', 'textEncoder'] as const) {
    for (const name of realNames[component]) {
      const key = toLdmKey({ component, name }, layout)
      if (key === undefined || keys.has(key)) t.fail(`${component} ${name}: ${key}`)
      else keys.set(key, `${component} ${name}`)
    }
  }
  const { names, ignored } = mapLdmKeys(keys.keys())
  t.deepEqual(ignored, [])
  for (const [key, expected] of keys) {
    const found = names.get(key)
    if (`${found?.component} ${found?.name}` !== expected) t.fail(`${key}: ${found?.name}, expected ${expected}`)
  }
  t.is(names.size, 686 + 248 + 196)
})

test('well-known keys of Stable Diffusion 1.5 map as they do in diffusers', t => {
  const layout = ldmLayout(realNames.unet, realNames.vae)
  const [unet, vae] = ['model.diffusion_model.', 'first_stage_model.']
  const known = [
    ['unet', 'time_embedding.linear_2.bias', `${unet}time_embed.2.bias`],
    ['unet', 'down_blocks.0.downsamplers.0.conv.weight', `${unet}input_blocks.3.0.op.weight`],
    ['unet', 'down_blocks.1.resnets.0.conv_shortcut.weight', `${unet}input_blocks.4.0.skip_connection.weight`],
    ['unet', 'up_blocks.0.upsamplers.0.conv.weight', `${unet}output_blocks.2.1.conv.weight`],
    ['unet', 'up_blocks.1.upsamplers.0.conv.weight', `${unet}output_blocks.5.2.conv.weight`],
    ['unet', 'mid_block.resnets.1.norm1.weight', `${unet}middle_block.2.in_layers.0.weight`],
    ['vae', 'decoder.up_blocks.0.resnets.2.conv1.weight', `${vae}decoder.up.3.block.2.conv1.weight`],
    ['vae', 'decoder.up_blocks.2.resnets.0.conv_shortcut.weight', `${vae}decoder.up.1.block.0.nin_shortcut.weight`],
    ['vae', 'encoder.mid_block.attentions.0.to_out.0.weight', `${vae}encoder.mid.attn_1.proj_out.weight`],
  ] as const
  for (const [component, name, key] of known) t.is(toLdmKey({ component, name }, layout), key)
})

test('the text encoder is found with and without text_model, and its position ids are not needed', t => {
  const { names, ignored } = mapLdmKeys([
    'cond_stage_model.transformer.encoder.layers.0.self_attn.q_proj.weight',
    'cond_stage_model.transformer.text_model.final_layer_norm.bias',
    'cond_stage_model.transformer.embeddings.position_ids',
    'model_ema.diffusion_modelinput_blocks00weight',
  ])
  t.deepEqual(
    [...names.values()].map(({ name }) => name),
    ['text_model.encoder.layers.0.self_attn.q_proj.weight', 'text_model.final_layer_norm.bias'],
  )
  t.is(ignored.length, 2)
})

test('the topology is read off the names, of the real and of the tiny model', t => {
  t.deepEqual(unetTopology(realNames.unet), sd15Unet)
  t.deepEqual(vaeTopology(realNames.vae), sd15Vae)
  t.deepEqual(clipTopology(realNames.textEncoder), sd15Clip)
  for (const [folder, file, names] of [
    ['unet', 'diffusion_pytorch_model', unetTensorNames],
    ['vae', 'diffusion_pytorch_model', vaeTensorNames],
    ['text_encoder', 'model', clipTensorNames],
  ] as const) {
    const { tensors } = openSafetensors(`test/fixtures/sd15-tiny/model/${folder}/${file}.safetensors`)
    const shortcut = (path: string) => tensors.has(`${path}.conv_shortcut.weight`)
    const expected =
      names === unetTensorNames
        ? names(unetTopology(tensors.keys()), shortcut)
        : names === vaeTensorNames
          ? names(vaeTopology(tensors.keys()), shortcut)
          : clipTensorNames(clipTopology(tensors.keys()))
    t.deepEqual([...expected].sort(), [...tensors.keys()].sort())
  }
})

test('names that belong to no layout are not mapped', t => {
  const layout = ldmLayout(realNames.unet, realNames.vae)
  for (const name of ['down_blocks.0.motion_modules.0.x.weight', 'mid_block.resnets.0.strange.weight', '']) {
    t.is(toLdmKey({ component: 'unet', name }, layout), undefined)
  }
  const keys = ['model.diffusion_model.input_blocks.1.0.strange.weight', 'first_stage_model.loss.logvar', 'v_pred']
  t.deepEqual(mapLdmKeys(keys).ignored, keys)
})
