import test from 'ava'
import {
  clipTensorNames,
  sd15Clip,
  sd15Unet,
  sd15Vae,
  unetTensorNames,
  vaeTensorNames,
} from '../../../lib/formats/keymaps/topology'
import { createGraph, type Graph } from '../../../lib/graph/graph'
import { elements } from '../../../lib/graph/tensor'
import { sd15Config } from '../../../lib/models/families/sd15'
import { createScope, type NetworkName } from '../../../lib/models/scope'
import { buildPrediction, surveyNetworks } from '../../../lib/pipeline/networks'
import type { TrainerInput } from '../../../lib/recipe/trainer-options'
import { planTraining } from '../../../lib/train/plan'
import { buildStep } from '../../../lib/train/step'
import { matchesGolden } from '../../helpers/golden'
import { loraInput, stepContext } from '../../helpers/step-graph'

// Stable Diffusion 1.5 at its real sizes, from shapes alone. The numbers are those of the published checkpoint
// (runwayml/stable-diffusion-v1-5) and of kohya-ss/sd-scripts' LoRA network on it.

const { requests, sites } = surveyNetworks(sd15Config)
const requestsOf = (network: NetworkName) => [
  ...new Map(requests.filter((r) => r.network === network).map((r) => [r.name, r])).values(),
]
const square = { batch: 1, height: 64, width: 64, tokens: 77 }

for (const [network, count] of [
  ['unet', 859_520_964],
  ['vae', 83_653_863],
  ['text_encoder', 123_060_480],
] as const)
  test(`the ${network} has ${count.toLocaleString('en')} weights`, (t) => {
    t.is(
      requestsOf(network).reduce((sum, { shape }) => sum + elements(shape), 0),
      count,
    )
    t.is(
      requestsOf(network)
        .flatMap(({ parts }) => parts)
        .reduce((sum, { shape }) => sum + elements(shape), 0),
      count,
    )
  })

/** Widths differ at the first block of a wider level, and wherever a skip connection is joined. */
const unetShortcut = (path: string) => /^(down_blocks\.[12]\.resnets\.0|up_blocks\.\d\.resnets\.\d)$/.test(path)
const vaeShortcut = (path: string) => /^(encoder\.down_blocks\.[12]|decoder\.up_blocks\.[23])\.resnets\.0$/.test(path)

for (const [network, names] of [
  ['unet', unetTensorNames(sd15Unet, unetShortcut)],
  ['vae', vaeTensorNames(sd15Vae, vaeShortcut)],
  ['text_encoder', clipTensorNames(sd15Clip)],
] as const)
  test(`the builder of the ${network} asks for every tensor of a checkpoint once and for nothing else`, (t) => {
    const asked = requestsOf(network).flatMap(({ parts }) => parts.map((part) => part.tensor))
    t.deepEqual([...asked].sort(), [...names].sort())
    t.is(new Set(asked).size, asked.length)
  })

test('fused layers are the q, k, v that read the same input, and their parts fill the rows of the whole', (t) => {
  for (const { shape, parts, name } of requests) {
    const rows = parts.reduce((sum, part) => sum + (part.shape[0] ?? 0), 0)
    t.is(rows, shape[0], name)
    t.is(
      parts.reduce((sum, part) => sum + elements(part.shape), 0),
      elements(shape),
      name,
    )
  }
  const fused = sites
    .filter(({ parts }) => parts.length > 1)
    .map(({ parts }) => parts.map(({ path }) => path.split('.').at(-1)).join('+'))
  t.deepEqual([...new Set(fused)].sort(), ['q_proj+k_proj+v_proj', 'to_k+to_v', 'to_q+to_k+to_v'])
})

test('every layer with a weight can carry an adapter, once', (t) => {
  const paths = sites.flatMap(({ network, parts }) => parts.map(({ path }) => `${network}/${path}`))
  t.is(new Set(paths).size, paths.length)
  const isLayer = (tensor: string, shape: readonly number[]) =>
    tensor.endsWith('.weight') && shape.length > 1 && !tensor.includes('embeddings')
  const layers = requests.flatMap(({ network, parts }) =>
    parts.flatMap(({ tensor, shape }) =>
      isLayer(tensor, shape) ? [`${network}/${tensor.slice(0, -'.weight'.length)}`] : [],
    ),
  )
  t.deepEqual(paths.sort(), [...new Set(layers)].sort())
})

interface Adapted {
  modules: number
  /** Elements of the factors, without padding. */
  parameters: number
  /** Length of the flat arena. */
  elements: number
}

function adapted(input: TrainerInput): Adapted {
  const context = stepContext('random:sd15', 'f32', input)
  buildStep(context, { batch: 1, height: 8, width: 8, tokens: 77 })
  const parameters = [...context.set.parameters.values()].reduce((sum, { shape }) => sum + elements(shape), 0)
  return { modules: context.adapter!.modules().length, parameters, elements: context.set.elements }
}

const rates = { unet: { learning_rate: 1e-4 } }

for (const rank of [1, 16, 128, 256])
  test(`a LoRA of rank ${rank} on the transformers of the UNet has 192 modules and 423,936 parameters a rank`, (t) => {
    const { modules, parameters, elements: flat } = adapted({ adapter: { kind: 'lora', rank }, networks: rates })
    t.is(modules, 192)
    t.is(parameters, 423_936 * rank)
    t.true(flat - parameters < 16 * 2 * 192) // at most a line of padding a factor
  })

test('with conv_rank, 3x3 convolutions and the layers of residual blocks join: 278 modules', (t) => {
  t.is(adapted({ adapter: { kind: 'lora', rank: 4, conv_rank: 2 }, networks: rates }).modules, 278)
})

test('the text encoder has 72 modules, alone and with the UNet', (t) => {
  const text = { text_encoder: { learning_rate: 5e-5 } }
  const perRank = 12 * (4 * (768 + 768) + 2 * (768 + 3072)) // q, k, v, out and the two layers of the MLP
  t.like(adapted({ adapter: { kind: 'lora', rank: 8 }, networks: text }), { modules: 72, parameters: perRank * 8 })
  t.like(adapted({ adapter: { kind: 'lora', rank: 8 }, networks: { ...rates, ...text } }), {
    modules: 192 + 72,
    parameters: (423_936 + perRank) * 8,
  })
})

test('full training has every weight of the network as a parameter', (t) => {
  const context = stepContext('random:sd15', 'f32', { adapter: { kind: 'full' }, networks: rates })
  buildStep(context, { batch: 1, height: 8, width: 8, tokens: 77 })
  t.is(
    [...context.set.parameters.values()].reduce((sum, { shape }) => sum + elements(shape), 0),
    859_520_964,
  )
})

test('a plan counts masters, gradients and both moments at four bytes a parameter, the bf16 copy at two', (t) => {
  for (const dtype of ['f32', 'bf16'] as const) {
    const context = stepContext('random:sd15', dtype)
    const plan = planTraining(context, [square])
    const { elements: flat } = context.set
    t.like(plan, {
      params: flat * 4,
      grads: flat * 4,
      optimizer: 2 * flat * 4,
      shadow: dtype === 'bf16' ? flat * 2 : 0,
    })
    const vectors = requestsOf('unet')
      .filter(({ precision }) => precision === 'f32')
      .reduce((sum, { shape }) => sum + elements(shape), 0)
    t.is(plan.weights, dtype === 'f32' ? 859_520_964 * 4 : (859_520_964 - vectors) * 2 + vectors * 4)
    t.is(plan.total, plan.weights + plan.params + plan.grads + plan.optimizer + plan.shadow + plan.arena)
  }
})

const products = [
  'linear',
  'conv2d',
  'attention',
  'linear_input_grad',
  'linear_weight_grad',
  'low_rank_dh',
  'conv2d_input_grad',
  'attention_backward',
]

function teraflops({ ops }: Graph, phase: 'forward' | 'backward', counts: (name: string) => boolean): number {
  return ops
    .filter((op) => op.phase === phase && counts(op.definition.name))
    .reduce((sum, op) => sum + (op.definition.flops?.(op.inputs, op.outputs, op.attributes) ?? 0) / 1e12, 0)
}

test('a forward pass at 512x512 is 0.803 TFLOP of products: 29% linear, 55% convolution, 16% attention', (t) => {
  // Counted by torch's FlopCounterMode on diffusers' model: 0.803, of which 1x1 convolutions (here linear) 6.4% of the
  // products without attention. 4·S·T·D operations an attention head.
  const scope = createScope(createGraph('forward', 'bf16'), 'unet')
  buildPrediction(scope, sd15Config, square, square.tokens)
  const [linear, conv2d, attention] = ['linear', 'conv2d', 'attention'].map((kind) =>
    teraflops(scope.graph, 'forward', (name) => name === kind),
  )
  const total = linear! + conv2d! + attention!
  t.is(total.toFixed(3), '0.803')
  t.is((attention! / total).toFixed(3), '0.157')
  const oneByOne = 0.064 * (linear! + conv2d!)
  t.true(Math.abs((linear! - oneByOne) / total - 0.29) < 0.002)
  t.true(Math.abs((conv2d! + oneByOne) / total - 0.553) < 0.002)
})

test('a step with rank 16 is 1.81 TFLOP of products, 0.814 of them forward', (t) => {
  const { graph } = buildStep(stepContext('random:sd15', 'bf16'), square)
  const isProduct = (name: string) => products.includes(name)
  const forward = teraflops(graph, 'forward', isProduct)
  const backward = teraflops(graph, 'backward', isProduct)
  t.is(forward.toFixed(3), '0.814')
  t.is(backward.toFixed(3), '0.996')
  const rest =
    teraflops(graph, 'forward', (name) => !isProduct(name)) + teraflops(graph, 'backward', (name) => !isProduct(name))
  t.true(rest < 0.005, `norms and pointwise ops: ${rest}`)
  const plan = planTraining(stepContext('random:sd15', 'bf16'), [square])
  t.true(Math.abs(plan.shapes[0]!.flops / 1e12 - forward - backward - rest) < 1e-9)
})

test('the memory of a step is as in the golden file, so that no change to it goes unseen', (t) => {
  const plans = (['none', 'blocks'] as const).flatMap((checkpointing) =>
    [square, { ...square, batch: 4 }, { ...square, height: 96, width: 96 }].map((shape) => {
      const { arena, total, shapes } = planTraining(
        stepContext('random:sd15', 'bf16', { ...loraInput, checkpointing }),
        [shape],
      )
      const { shape: name, peakOp, lowerBound } = shapes[0]!
      const what = `${name}, checkpointing ${checkpointing}`
      return `${what}: arena ${arena}, at least ${lowerBound}, in ${peakOp}, total ${total}`
    }),
  )
  matchesGolden(t, 'sd15.plan.txt', plans.join('\n') + '\n')
})
