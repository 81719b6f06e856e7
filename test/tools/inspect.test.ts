import test from 'ava'
import { openSafetensors, readTensor, type TensorData, writeSafetensors } from '../../lib/formats/safetensors'
import { inspectFile } from '../../lib/tools/inspect'
import { renderInspection } from '../../lib/tools/render-inspection'
import { temporaryFolder } from '../helpers/safetensors-bytes'

function write(tensors: TensorData[], metadata: Record<string, string> = {}): string {
  const file = `${temporaryFolder()}/x.safetensors`
  writeSafetensors(file, tensors, metadata)
  return file
}
const tensor = (name: string, shape: number[], data: Float32Array): TensorData => ({ name, dtype: 'F32', shape, data })
const filled = (name: string, shape: number[], fill: (i: number) => number) =>
  tensor(name, shape, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => fill(i)))

/** ||scale · a b|| by forming the product; a [m, r], b [r, n]. */
function plainNorm(a: Float32Array, b: Float32Array, rank: number, scale: number): number {
  const [m, n] = [a.length / rank, b.length / rank]
  let sum = 0
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let dot = 0
      for (let r = 0; r < rank; r++) dot += a[i * rank + r] * b[r * n + j]
      sum += (scale * dot) ** 2
    }
  }
  return Math.sqrt(sum)
}

test('norms of LoRA and LoCon are those of the whole product', t => {
  const path = 'test/fixtures/sd15-tiny/lora_inference/lora_b.safetensors'
  const file = openSafetensors(path)
  const { lora } = inspectFile(path)
  let total = 0
  for (const { name, rank = 0, alpha = 0, norm = NaN } of lora?.modules ?? []) {
    const up = readTensor(file, `${name}.lora_up.weight`)
    const down = readTensor(file, `${name}.lora_down.weight`)
    const expected = plainNorm(up, down, rank, alpha / rank)
    total += expected ** 2
    t.true(Math.abs(norm - expected) <= 1e-9 * expected, name)
  }
  const blocks = lora?.blocks ?? []
  const summed = Math.sqrt(blocks.reduce((sum, { norm }) => sum + norm ** 2, 0))
  t.true(Math.abs(summed - Math.sqrt(total)) < 1e-6)
  t.is(blocks.reduce((sum, { modules }) => sum + modules, 0), 302)
  t.deepEqual(blocks.map(({ block }) => block).slice(0, 5), [
    'text encoder layers.0',
    'text encoder layers.1',
    'text encoder layers.2',
    'text encoder layers.3',
    'unet down_blocks.0',
  ])
})

test('norms of LoHa and LoKr are those of the whole product', t => {
  const wave = (offset: number) => (i: number) => Math.sin(i * 1.7 + offset)
  const file = write([
    filled('lora_unet_a.hada_w1_a', [4, 2], wave(0)),
    filled('lora_unet_a.hada_w1_b', [2, 3], wave(1)),
    filled('lora_unet_a.hada_w2_a', [4, 2], wave(2)),
    filled('lora_unet_a.hada_w2_b', [2, 3], wave(3)),
    filled('lora_unet_a.alpha', [], () => 1),
    filled('lora_unet_b.lokr_w1', [2, 2], wave(4)),
    filled('lora_unet_b.lokr_w2_a', [3, 1], wave(5)),
    filled('lora_unet_b.lokr_w2_b', [1, 4], wave(6)),
    filled('lora_unet_b.alpha', [], () => 3),
  ])
  const opened = openSafetensors(file)
  const read = (name: string) => readTensor(opened, name)
  const product = (a: Float32Array, b: Float32Array, rank: number) => {
    const [m, n] = [a.length / rank, b.length / rank]
    return Array.from({ length: m * n }, (_, k) => {
      const [i, j] = [Math.floor(k / n), k % n]
      return Array.from({ length: rank }, (__, r) => a[i * rank + r] * b[r * n + j]).reduce((x, y) => x + y, 0)
    })
  }
  const norm = (values: number[]) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0))
  const first = product(read('lora_unet_a.hada_w1_a'), read('lora_unet_a.hada_w1_b'), 2)
  const second = product(read('lora_unet_a.hada_w2_a'), read('lora_unet_a.hada_w2_b'), 2)
  const hada = 0.5 * norm(first.map((value, i) => value * second[i]))
  const w2 = product(read('lora_unet_b.lokr_w2_a'), read('lora_unet_b.lokr_w2_b'), 1)
  const kron = 3 * norm([...read('lora_unet_b.lokr_w1')].flatMap(value => w2.map(other => value * other)))
  const modules = inspectFile(file).lora?.modules ?? []
  t.deepEqual(modules.map(({ kind }) => kind).sort(), ['loha', 'lokr'])
  for (const { kind, norm: got = NaN } of modules) t.true(Math.abs(got - (kind === 'loha' ? hada : kron)) < 1e-6, kind)
})

test('kinds, ranks, targets, base and trigger words are told', t => {
  const { lora } = inspectFile('test/fixtures/sd15-tiny/lora_inference/lora_b.safetensors')
  t.deepEqual(lora?.kinds, [
    { kind: 'lora', dora: false, modules: 252 },
    { kind: 'locon', dora: false, modules: 50 },
  ])
  t.deepEqual(lora?.ranks, [
    { rank: 3, alpha: 3, modules: 252 },
    { rank: 2, alpha: 1, modules: 50 },
  ])
  t.is(lora?.base?.family, 'sd15')
  const targets = new Map(lora?.targets.map(({ network, target, modules }) => [`${network} ${target}`, modules]))
  t.is(targets.get('unet attn1_to_out_0'), 16)
  t.is(targets.get('text encoder mlp_fc1'), 4)
  const up = filled('lora_unet_down_blocks_0_x.lora_up.weight', [3, 1], i => i)
  const down = filled('lora_unet_down_blocks_0_x.lora_down.weight', [1, 3], i => i)
  const file = write([up, down], {
    ss_tag_frequency: '{"10_a": {"ohwx": 9, "cat": 2}}',
    'modelspec.trigger_phrase': 'ohwx',
  })
  const text = renderInspection(inspectFile(file))
  t.regex(text, /trigger +ohwx\n/)
  t.regex(text, /tags +ohwx \(9\), cat \(2\)\n/)
  t.regex(text, /unet down_blocks\.0 +5 +1 modules/)
  t.regex(text, /No NaN/)
})

test('NaN, infinite, all-zero and empty tensors and stray keys are reported', t => {
  const file = write([
    filled('lora_unet_a.lora_up.weight', [3, 2], () => 0),
    filled('lora_unet_a.lora_down.weight', [2, 3], i => [NaN, Infinity, 1][i] ?? 2),
    filled('lora_unet_b.lora_down.weight', [2, 3], () => 1),
    filled('stray', [0], () => 0),
  ])
  const { lora } = inspectFile(file)
  t.deepEqual(lora?.nonFinite, [{ tensor: 'lora_unet_a.lora_down.weight', values: 2 }])
  t.deepEqual(lora?.zero, ['lora_unet_a.lora_up.weight'])
  t.deepEqual(lora?.empty, ['stray'])
  t.deepEqual(lora?.unknownKeys, ['stray'])
  t.deepEqual(lora?.incomplete, ['lora_unet_b'])
  const text = renderInspection(inspectFile(file))
  t.regex(text, /1 tensors with NaN or infinite values: lora_unet_a\.lora_down\.weight \(2\)/)
  t.regex(text, /1 tensors of zeros, as before the first step/)
  t.regex(text, /1 modules with parts missing: lora_unet_b/)
})

test('a base model and any other file are listed by their tensors', t => {
  const base = inspectFile('test/fixtures/sd15-tiny/single/sd15-tiny.safetensors')
  t.deepEqual(base.checkpoint, { family: 'sd15', layout: 'ldm', predictionType: undefined })
  t.is(base.lora, undefined)
  t.deepEqual(base.dtypes.find(({ dtype }) => dtype === 'I32'), { dtype: 'I32', tensors: 1, bytes: 4 })
  const text = renderInspection(base)
  t.regex(text, /1005 tensors .*998 F16/)
  t.regex(text, /Base model: Stable Diffusion 1\.x/)
  t.regex(text, /and 965 more/)
  t.is(renderInspection(base, { all: true }).match(/model\.diffusion_model\./g)?.length, 686)
  const other = inspectFile(write([filled('layer.weight', [2, 2], i => i)], { note: 'x' }))
  t.is(other.lora, undefined)
  t.is(other.checkpoint, undefined)
  t.regex(renderInspection(other), /layer\.weight +F32 +\[2, 2\][^]*note = x/)
})

test('text from a file cannot steer the terminal', t => {
  const file = write([filled('a\u001b[2J', [1], () => 1)], { 'k\u009b': 'v\u0007\nnext' })
  const text = renderInspection(inspectFile(file))
  t.false(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/.test(text))
  t.true(text.includes('next'))
})
