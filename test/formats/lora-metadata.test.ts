import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import test from 'ava'
import { detectLoraFamily, familyOfMetadata } from '../../lib/formats/lora-family'
import { buildLoraMetadata } from '../../lib/formats/lora-metadata'
import { summariseMetadata } from '../../lib/formats/lora-summary'
import { modelHashes } from '../../lib/formats/model-hashes'
import { pythonFloat } from '../../lib/formats/python-text'
import { openSafetensors, readTensorRaw, type TensorData, writeSafetensors } from '../../lib/formats/safetensors'
import { temporaryFolder } from '../helpers/safetensors-bytes'

const minimal = { predictionType: 'epsilon', resolution: 512 } as const

function tensorsOf(file: string): { tensors: TensorData[]; metadata: Record<string, string> } {
  const opened = openSafetensors(file)
  const tensors = [...opened.tensors.values()].map(
    ({ name, dtype, shape }): TensorData => ({ name, dtype, shape, data: readTensorRaw(opened, name) }),
  )
  return { tensors, metadata: opened.metadata }
}

test("the hashes are those that kohya's tools wrote into their files", t => {
  for (const name of [
    'sd15-tiny/lora_inference/lora_a',
    'sd15-tiny/lora_inference/lora_b',
    'sdxl-tiny/lora_inference/lora_a',
    'flux-tiny/lora_inference/lora',
  ]) {
    const { tensors, metadata } = tensorsOf(`test/fixtures/${name}.safetensors`)
    const hashes = modelHashes(tensors, { ...metadata, 'modelspec.title': 'not part of the hash' })
    t.is(hashes.sshs_model_hash, metadata.sshs_model_hash)
    t.is(hashes.sshs_legacy_hash, metadata.sshs_legacy_hash)
    t.is(hashes['modelspec.hash_sha256'], `0x${metadata.sshs_model_hash}`)
  }
})

test('the legacy hash covers 64 KiB at 1 MiB of the file', t => {
  const data = Uint8Array.from({ length: 300_000 * 4 }, (_, i) => (i * 2654435761) >>> 24)
  const tensors: TensorData[] = [
    { name: 'a', dtype: 'U8', shape: [1_040_000], data: data.subarray(0, 1_040_000) },
    { name: 'b', dtype: 'U8', shape: [160_000], data: data.subarray(1_040_000) },
  ]
  const file = `${temporaryFolder()}/x.safetensors`
  writeSafetensors(file, tensors, { ss_v2: 'False' })
  const window = readFileSync(file).subarray(0x100000, 0x110000)
  t.is(window.length, 0x10000)
  const expected = createHash('sha256').update(window).digest('hex').slice(0, 8)
  t.is(modelHashes(tensors, { ss_v2: 'False', other: 'x' }).sshs_legacy_hash, expected)
})

test('numbers and switches are written as Python prints them', t => {
  const cases: [number, string][] = [
    [1, '1.0'],
    [0, '0.0'],
    [-0, '-0.0'],
    [0.0001, '0.0001'],
    [0.00001, '1e-05'],
    [1.5e-7, '1.5e-07'],
    [1e16, '1e+16'],
    [123456789012345, '123456789012345.0'],
    [1e22, '1e+22'],
    [0.1, '0.1'],
    [-2.5, '-2.5'],
    [Infinity, 'inf'],
    [NaN, 'nan'],
  ]
  for (const [value, text] of cases) t.is(pythonFloat(value), text)
  const metadata = buildLoraMetadata({
    ...minimal,
    unetLearningRate: 1e-5,
    rank: 16,
    alpha: 8,
    cacheLatents: true,
    zeroTerminalSnr: false,
    minSnrGamma: null,
    networkArgs: { conv_dim: '4' },
    maxGradNorm: 1,
  })
  t.is(metadata.ss_unet_lr, '1e-05')
  t.is(metadata.ss_network_dim, '16')
  t.is(metadata.ss_network_alpha, '8.0')
  t.is(metadata.ss_cache_latents, 'True')
  t.is(metadata.ss_zero_terminal_snr, 'False')
  t.is(metadata.ss_min_snr_gamma, 'None')
  t.is(metadata.ss_max_grad_norm, '1.0')
  t.is(metadata.ss_network_args, '{"conv_dim":"4"}')
  t.false('ss_seed' in metadata)
})

test('the model specification names architecture, prediction, resolution and time', t => {
  const metadata = buildLoraMetadata({
    predictionType: 'v_prediction',
    resolution: [768, 512],
    outputName: '/home/ann/out/ohwx.safetensors',
    finishedAt: 1_700_000_000.25,
    triggerPhrase: 'ohwx person',
    clipSkip: 2,
  })
  t.is(metadata['modelspec.sai_model_spec'], '1.0.1')
  t.is(metadata['modelspec.architecture'], 'stable-diffusion-v1/lora')
  t.is(metadata['modelspec.implementation'], 'diffusers')
  t.is(metadata['modelspec.prediction_type'], 'v')
  t.is(metadata['modelspec.resolution'], '768x512')
  t.is(metadata['modelspec.date'], '2023-11-14T22:13:20')
  t.is(metadata['modelspec.title'], 'ohwx.safetensors')
  t.is(metadata['modelspec.trigger_phrase'], 'ohwx person')
  t.is(metadata['modelspec.encoder_layer'], '2')
  t.is(metadata.ss_base_model_version, 'sd_v1')
  t.is(metadata.ss_training_finished_at, '1700000000.25')
})

test('no folder leaves more than its name, on any system', t => {
  const metadata = buildLoraMetadata({
    ...minimal,
    outputName: 'C:\\Users\\ann\\lora.safetensors',
    baseName: '/home/ann/models/base.safetensors',
    vaeName: '/home/ann/vae',
    tagFrequency: { '/home/ann/data/10_ohwx': { cat: 3 }, 'D:\\ann\\10_ohwx': { cat: 1, dog: 2 } },
    datasetFolders: { '/home/ann/data/10_ohwx': { repeats: 10, images: 4 } },
  })
  const text = JSON.stringify(metadata)
  t.false(text.includes('ann'), text)
  t.deepEqual(JSON.parse(metadata.ss_tag_frequency), { '10_ohwx': { cat: 4, dog: 2 } })
  t.deepEqual(JSON.parse(metadata.ss_dataset_dirs), { '10_ohwx': { n_repeats: 10, img_count: 4 } })
})

test('rare tags are left out until the metadata is small enough', t => {
  const tags = Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`tag "${i}"`, 50_000 - i]))
  const metadata = buildLoraMetadata({ ...minimal, tagFrequency: { a: tags, b: { rare: 1 } }, maxBytes: 20_000 })
  const size = Buffer.byteLength(JSON.stringify(metadata))
  t.true(size <= 20_000 && size > 19_900, `${size} bytes`)
  const kept: Record<string, Record<string, number>> = JSON.parse(metadata.ss_tag_frequency)
  t.is(kept.a['tag "0"'], 50_000)
  t.deepEqual(kept.b, {})
  const counts = Object.values(kept.a)
  t.is(Math.min(...counts), 50_000 - counts.length + 1)
})

test('what was written is read back, and so is what other tools write', t => {
  const written = summariseMetadata(
    buildLoraMetadata({
      ...minimal,
      rank: 16,
      alpha: 8,
      steps: 1200,
      epoch: 3,
      title: 'Ohwx',
      triggerPhrase: 'ohwx',
      tagFrequency: { a: { cat: 3, dog: 5 }, b: { cat: 4 } },
    }),
  )
  t.is(written.family, 'sd15')
  t.like(written, { rank: 16, alpha: 8, steps: 1200, epoch: 3 })
  t.like(written, { title: 'Ohwx', triggerPhrase: 'ohwx', resolution: '512x512' })
  t.is(written.predictionType, 'epsilon')
  t.deepEqual(written.tags, [{ tag: 'cat', count: 7 }, { tag: 'dog', count: 5 }])
  const training = '{"step": 20, "epoch": 1}'
  const toolkit = summariseMetadata({ ss_base_model_version: 'sd_1.5', training_info: training, name: 'x' })
  t.like(toolkit, { family: 'sd15', steps: 20, epoch: 1, title: 'x' })
  t.is(summariseMetadata({ ss_fp8_base: 'True' }).basePrecision, 'fp8') // sd-scripts
  const stored = buildLoraMetadata({ ...minimal, fp8Base: false, basePrecision: 'nf4' })
  t.is(stored.ss_fp8_base, 'False')
  t.is(summariseMetadata(stored).basePrecision, 'nf4')
  t.is(summariseMetadata(buildLoraMetadata(minimal)).basePrecision, undefined)
  t.deepEqual(summariseMetadata({ ss_tag_frequency: '{', ss_network_dim: 'Dynamic', ss_steps: 'None' }).tags, [])
})

test('the base is read from every spelling of its version', t => {
  const family = (metadata: Record<string, string>) => familyOfMetadata(metadata)?.family
  for (const [version, expected] of [
    ['sd_v1', 'sd15'], ['sd_1.5', 'sd15'], ['sd_v2', 'sd2'], ['sd_v2_v', 'sd2'], ['sdxl_base_v1-0', 'sdxl'],
    ['sdxl_1.0', 'sdxl'], ['flux1', 'flux'], ['chroma', 'flux'], ['sd3m', 'sd3'], ['unheard of', undefined],
  ] as const) {
    t.is(family({ ss_base_model_version: version }), expected, version)
  }
  t.is(family({ 'modelspec.architecture': 'stable-diffusion-v1/lora' }), 'sd15')
  t.is(family({ 'modelspec.architecture': 'stable-diffusion-v2-768-v/lora' }), 'sd2')
  t.is(family({ 'modelspec.architecture': 'stable-diffusion-xl-v1-base/lora' }), 'sdxl')
  t.is(family({ 'modelspec.architecture': 'flux-1-dev/lora' }), 'flux')
})

test('keys prove a family against the metadata, and widths too', t => {
  const tensor = (name: string, shape: number[]) => ({ name, shape, dtype: 'F16', offset: 0, bytes: 0 }) as const
  const k = 'lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight'
  const metadata = { ss_base_model_version: 'sd_v2' }
  const of = (name: string, shape: number[] = [4, 4]) => detectLoraFamily([tensor(name, shape)], metadata)?.family
  t.is(of(k, [4, 768]), 'sd15')
  t.is(of(k, [4, 2048]), 'sdxl')
  t.is(of(k, [4, 12]), 'sd2')
  t.is(of('unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight', [4, 768]), 'sd15')
  t.is(of('lora_unet_input_blocks_4_1_transformer_blocks_1_attn1_to_q.lora_down.weight'), 'sdxl')
  t.is(of('unet.down_blocks.2.attentions.1.transformer_blocks.9.attn1.to_q.lora_A.weight'), 'sdxl')
  t.is(of('transformer.single_transformer_blocks.3.attn.to_q.lora_A.weight'), 'flux')
  t.is(of('lora_unet_single_blocks_3_linear1.lora_down.weight'), 'flux')
  t.is(of('lora_unet_joint_blocks_0_x_block_attn_qkv.lora_down.weight'), 'sd3')
  t.is(of('lora_unet_blocks_0_self_attn_q.lora_down.weight'), 'other')
})
