import test from 'ava'
import { LorikeetError } from '../../lib/base/errors'
import { detectCheckpoint } from '../../lib/formats/checkpoint'
import { kohyaModuleName, peftModuleName } from '../../lib/formats/keymaps/kohya'
import { toLdmUnet } from '../../lib/formats/keymaps/ldm-unet'
import { baseModules, type LoraFile, parseLoraFile, requireLoraFits } from '../../lib/formats/lora-file'
import { openSafetensors, readTensor, type TensorData, writeSafetensors } from '../../lib/formats/safetensors'
import { temporaryFolder } from '../helpers/safetensors-bytes'

const fixtures = 'test/fixtures'
const base = baseModules(detectCheckpoint(`${fixtures}/sd15-tiny/model`))
const open = (name: string) => openSafetensors(`${fixtures}/${name}.safetensors`)

const zeros = (name: string, shape: number[]): TensorData =>
  ({ name, dtype: 'F32', shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) })
const scalar = (name: string, value: number): TensorData =>
  ({ name, dtype: 'F32', shape: [], data: Float32Array.of(value) })

function lora(tensors: TensorData[], metadata: Record<string, string> = {}): LoraFile {
  const file = `${temporaryFolder()}/x.safetensors`
  writeSafetensors(file, tensors, metadata)
  return parseLoraFile(openSafetensors(file), base)
}

const toQ = 'down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q' // [24, 24]
const toOut = 'down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0' // [24, 24]
const clipQ = 'text_model.encoder.layers.0.self_attn.q_proj' // [8, 8]
const clipOut = 'text_model.encoder.layers.0.self_attn.out_proj'

test("every module of kohya's files lands on its place in the base, with rank and alpha", t => {
  for (const [name, counts] of [
    ['lora_a', { 'te lora 4 2': 24, 'unet lora 4 2': 192 }],
    ['lora_b', { 'te lora 3 3': 24, 'unet lora 3 3': 228, 'unet locon 2 1': 50 }],
  ] as const) {
    const file = open(`sd15-tiny/lora_inference/${name}`)
    const parsed = parseLoraFile(file, base)
    const seen: Record<string, number> = {}
    for (const [key, module] of parsed.modules) {
      const { network, path = '', kind, rank, alpha, rawName, tensors } = module
      seen[`${network} ${kind} ${rank} ${alpha}`] = (seen[`${network} ${kind} ${rank} ${alpha}`] ?? 0) + 1
      t.is(key, `${network}.${path}`)
      t.is(kohyaModuleName(network, path), rawName)
      t.deepEqual([...tensors.keys()].sort(), ['alpha', 'lora_down', 'lora_up'])
    }
    t.deepEqual(seen, counts)
    t.is(parsed.style, 'kohya')
    t.is(parsed.family?.family, 'sd15')
    t.is([...parsed.modules.values()].reduce((sum, { tensors }) => sum + tensors.size, 0), file.tensors.size)
    t.notThrows(() => requireLoraFits(parsed, 'sd15'))
  }
})

test('the kinds of LyCORIS are told apart, and all their modules found', t => {
  for (const [name, kinds, modules] of [
    ['dora', ['lora'], 216],
    ['ia3', ['ia3'], 92],
    ['locon', ['lora', 'locon'], 306],
    ['loha', ['loha'], 216],
    ['lokr', ['lokr'], 216],
  ] as const) {
    const parsed = parseLoraFile(open(`lycoris/networks/${name}`), base)
    t.is(parsed.modules.size, modules, name)
    t.deepEqual([...new Set([...parsed.modules.values()].map(({ kind }) => kind))].sort(), [...kinds].sort())
    t.is(parsed.unknownKeys.length, 0)
    t.is([...parsed.modules.values()].every(({ dora }) => dora), name === 'dora')
    t.notThrows(() => requireLoraFits(parsed, 'sd15'))
  }
})

test('every published spelling of a module finds it', t => {
  const sgm = toLdmUnet(toQ, { layersPerBlock: 2, upAttention: [false, true, true, true] }) ?? ''
  t.is(sgm, 'input_blocks.4.1.transformer_blocks.0.attn1.to_q')
  // The name up to `down`, or with PEFT's A and B.
  const spellings: [stem: string, module: string, style: string][] = [
    [`${kohyaModuleName('unet', toQ)}.lora_`, toQ, 'kohya'],
    [`lora_unet_${sgm.replaceAll('.', '_')}.lora_`, toQ, 'kohya'],
    [`lycoris_${toQ.replaceAll('.', '_')}.lora_`, toQ, 'lycoris'],
    [`${peftModuleName('unet', toQ)}.lora_A`, toQ, 'diffusers'],
    [`unet.${toQ}.lora_A.default`, toQ, 'diffusers'],
    [`base_model.model.${toQ}.lora_A`, toQ, 'peft'],
    [`unet.${toQ}.lora.`, toQ, 'diffusers'],
    [`unet.${toQ}.lora_linear_layer.`, toQ, 'diffusers'],
    [`unet.${toQ.replace('.to_q', '.processor.to_q')}_lora.`, toQ, 'diffusers-old'],
    [`${toOut.replace('.to_out.0', '.processor.to_out')}_lora.`, toOut, 'diffusers-old'],
    [`diffusion_model.${sgm}.lora_`, toQ, 'comfy'],
    [`${kohyaModuleName('te', clipQ)}.lora_`, clipQ, 'kohya'],
    [`${peftModuleName('te', clipQ)}.lora_A`, clipQ, 'diffusers'],
    [`text_encoder.${clipQ.replace('q_proj', 'to_q')}_lora.`, clipQ, 'diffusers'],
    [`text_encoder.${clipOut.replace('out_proj', 'to_out')}_lora.`, clipOut, 'diffusers'],
    [`text_encoders.clip_l.transformer.${clipQ}.lora_`, clipQ, 'comfy'],
  ]
  for (const [stem, module, style] of spellings) {
    const peft = stem.includes('lora_A')
    const down = peft ? `${stem}.weight` : `${stem}down.weight`
    const up = peft ? `${stem.replace('lora_A', 'lora_B')}.weight` : `${stem}up.weight`
    const network = module.startsWith('text_model') ? 'te' : 'unet'
    const size = base.get(`${network}.${module}`)?.[0] ?? 0
    const parsed = lora([zeros(down, [2, size]), zeros(up, [size, 2])])
    t.deepEqual([...parsed.modules.keys()], [`${network}.${module}`], down)
    t.is(parsed.style, style as LoraFile['style'], down)
    const [found] = parsed.modules.values()
    t.is(found.tensors.get('lora_down'), down)
    t.deepEqual([found.rank, found.alpha, found.scale], [2, 2, 1]) // no alpha in the file
  }
})

test('every module of the base is found under its joined name, in both layouts', t => {
  const layout = { layersPerBlock: 2, upAttention: [false, true, true, true] }
  const kohya: TensorData[] = []
  const sgm: TensorData[] = []
  for (const [key, shape] of base) {
    if (shape.length < 2 || key.includes('embedding.')) continue
    const [, network, path] = /^(unet|te)\.(.+)$/.exec(key) ?? []
    if (network !== 'unet' && network !== 'te') throw new Error(key)
    const pair = (name: string) =>
      [zeros(`${name}.lora_down.weight`, [1, ...shape.slice(1)]), zeros(`${name}.lora_up.weight`, [shape[0], 1])]
    kohya.push(...pair(kohyaModuleName(network, path)))
    if (network === 'unet') sgm.push(...pair(`lora_unet_${(toLdmUnet(path, layout) ?? '').replaceAll('.', '_')}`))
  }
  const first = lora(kohya)
  t.is(first.modules.size, kohya.length / 2)
  t.deepEqual(first.unmatched, [])
  const second = lora(sgm)
  t.is(second.modules.size, sgm.length / 2)
  t.deepEqual(second.unmatched, [])
})

test('alpha 0 means the rank, as no alpha does, and a broken one is refused', t => {
  const name = kohyaModuleName('unet', toQ)
  const pair = [zeros(`${name}.lora_down.weight`, [4, 24]), zeros(`${name}.lora_up.weight`, [24, 4])]
  const alphaOf = (...more: TensorData[]) => {
    const [module] = lora([...pair, ...more]).modules.values()
    return [module.alpha, module.scale]
  }
  t.deepEqual(alphaOf(), [4, 1])
  t.deepEqual(alphaOf(scalar(`${name}.alpha`, 0)), [4, 1])
  t.deepEqual(alphaOf(scalar(`${name}.alpha`, 1)), [1, 0.25])
  t.deepEqual(alphaOf({ ...scalar(`${name}.alpha`, 3), shape: [1] }), [3, 0.75])
  const error = t.throws(() => alphaOf(scalar(`${name}.alpha`, NaN)), { instanceOf: LorikeetError })
  t.regex(error.message, /alpha is wrong; expected one number, received NaN/)
  t.throws(() => alphaOf(zeros(`${name}.alpha`, [2])), { instanceOf: LorikeetError, message: /received shape \[2\]/ })
})

test("alpha of a PEFT file comes from diffusers' metadata, with patterns and rank-stabilised scaling", t => {
  const pair = [toQ, toOut].flatMap(path => [
    zeros(`unet.${path}.lora_A.weight`, [4, 24]),
    zeros(`unet.${path}.lora_B.weight`, [24, 4]),
  ])
  const scales = (config: object) =>
    [...lora(pair, { lora_adapter_metadata: JSON.stringify(config) }).modules.values()].map(({ scale }) => scale)
  t.deepEqual(scales({ 'unet.lora_alpha': 8 }), [2, 2])
  t.deepEqual(scales({ 'unet.lora_alpha': 8, 'unet.use_rslora': true }), [4, 4])
  t.deepEqual(scales({ 'unet.lora_alpha': 8, 'unet.alpha_pattern': { 'attn1.to_q': 1 } }).sort(), [0.25, 2])
  t.deepEqual(scales({ 'text_encoder.lora_alpha': 8 }), [1, 1])
})

test('a LoRA of another family is refused by name', t => {
  const refuse = (parsed: LoraFile, message: RegExp) => {
    const error = t.throws(() => requireLoraFits(parsed, 'sd15'), { instanceOf: LorikeetError })
    t.is(error.kind, 'input')
    t.regex(error.message, message)
  }
  const fixture = (name: string) => parseLoraFile(open(name), base)
  refuse(fixture('sdxl-tiny/lora_inference/lora_a'), /made for Stable Diffusion XL: it holds lora_te2_/)
  refuse(fixture('flux-tiny/lora_inference/lora'), /made for Flux: it holds lora_unet_double_blocks_0/)
  const pair = (name: string, out: number, inner: number) =>
    [zeros(`${name}.lora_down.weight`, [2, inner]), zeros(`${name}.lora_up.weight`, [out, 2])]
  const k = 'lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k'
  const wide = (width: number) => lora(pair(k, 16, width))
  refuse(wide(1024), /made for Stable Diffusion 2.x: its text width is 1024/)
  refuse(wide(12), /does not fit the base at unet\.down_blocks\.0\..*expected a weight \[16, 8\], received \[16, 12\]/)
  const unknown = 'lora_unet_strange_module'
  refuse(
    lora(pair(unknown, 8, 8), { ss_base_model_version: 'sdxl_base_v1-0' }),
    /made for Stable Diffusion XL: its metadata says ss_base_model_version = sdxl_base_v1-0/,
  )
  refuse(lora(pair(unknown, 8, 8)), /no module for lora_unet_strange_module/)
  refuse(parseLoraFile(open('sd15-tiny/model/vae/diffusion_pytorch_model'), base), /not a LoRA file/)
  refuse(lora([]), /not a LoRA file.*none at all/)
})

test('damaged adapters are named', t => {
  const name = kohyaModuleName('unet', toQ)
  const down = zeros(`${name}.lora_down.weight`, [4, 24])
  const up = zeros(`${name}.lora_up.weight`, [24, 4])
  const half = lora([down])
  t.deepEqual(half.incomplete, [name])
  t.throws(() => requireLoraFits(half, 'sd15'), { message: new RegExp(`parts of ${name} are missing`) })
  const odd = lora([down, zeros(up.name, [24, 3])])
  t.is(odd.mismatched[0].received, 'contradiction')
  t.throws(() => requireLoraFits(odd, 'sd15'), { message: /parts that do not fit each other/ })
  const none = lora([zeros(down.name, [0, 24]), zeros(up.name, [24, 0])]) // rank 0
  t.is(none.mismatched[0].received, 'contradiction')
  t.deepEqual(lora([down, up, zeros('something.else', [1])]).unknownKeys, ['something.else'])
  const twice = [down, up, zeros(`unet.${toQ}.lora_A.weight`, [4, 24]), zeros(`unet.${toQ}.lora_B.weight`, [24, 4])]
  t.throws(() => lora(twice), { instanceOf: LorikeetError, message: /two names mean the module/ })
})

test('without a base, modules keep the names of the file', t => {
  const file = open('sdxl-tiny/lora_inference/lora_a')
  const parsed = parseLoraFile(file)
  t.is(parsed.modules.size, 410)
  t.is(parsed.modules.get('lora_te2_text_model_encoder_layers_0_mlp_fc1')?.rank, 2)
  t.is(readTensor(file, 'lora_te2_text_model_encoder_layers_0_mlp_fc1.alpha')[0], 1)
})
