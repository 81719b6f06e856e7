/** Cases for every op with a gradient rule, by name; and the ops that have none, each with the reason. */
import { activation, activationKinds } from '../../../lib/graph/ops/activation'
import { add } from '../../../lib/graph/ops/add'
import { attention } from '../../../lib/graph/ops/attention'
import { castOp } from '../../../lib/graph/ops/cast'
import { concat } from '../../../lib/graph/ops/concat'
import { embedding } from '../../../lib/graph/ops/embedding'
import { gaussianKl } from '../../../lib/graph/ops/gaussian_kl'
import { geglu } from '../../../lib/graph/ops/geglu'
import { groupNorm } from '../../../lib/graph/ops/group_norm'
import { layerNorm } from '../../../lib/graph/ops/layer_norm'
import { loss, lossKinds } from '../../../lib/graph/ops/loss'
import { reshape } from '../../../lib/graph/ops/reshape'
import { sampleGaussian } from '../../../lib/graph/ops/sample_gaussian'
import { slice } from '../../../lib/graph/ops/slice'
import { upsampleNearest } from '../../../lib/graph/ops/upsample_nearest'
import { emitOne } from '../../../lib/graph/graph'
import { normals } from '../../helpers/run-op'
import type { CaseBuilder, OpCase } from '../build-case'
import { gateCases, modulateCases, rmsNormCases, rotaryEmbeddingCases } from './dit-cases'
import { conv2dCases, linearCases } from './product-cases'

/** γ and β as normalisations take them. */
const affine = (b: CaseBuilder, channels: number, kind: 'trained' | 'frozen') =>
  kind === 'trained'
    ? ([b.trained('gamma', [channels], 'f32'), b.trained('beta', [channels], 'f32')] as const)
    : ([b.frozen('gamma', [channels]), b.frozen('beta', [channels])] as const)

const groupNormCases: OpCase[] = [
  {
    title: 'frozen, images',
    build: (b) => groupNorm(b.graph, b.x('x', [2, 3, 5, 6]), ...affine(b, 6, 'frozen'), { groups: 3, eps: 1e-5 }),
  },
  {
    title: 'trained, tokens, one group',
    build: (b) => groupNorm(b.graph, b.x('x', [2, 7, 5]), ...affine(b, 5, 'trained'), { groups: 1, eps: 1e-6 }),
  },
  {
    title: 'trained, with SiLU, one channel a group',
    build: (b) =>
      groupNorm(b.graph, b.x('x', [2, 3, 2, 5]), ...affine(b, 5, 'trained'), {
        groups: 5,
        eps: 1e-5,
        activation: 'silu',
      }),
  },
  {
    title: 'frozen, with shift',
    build: (b) =>
      groupNorm(b.graph, b.x('x', [2, 3, 2, 6]), ...affine(b, 6, 'frozen'), {
        groups: 2,
        eps: 1e-5,
        shift: b.x('shift', [2, 6]),
      }),
  },
  {
    title: 'trained, with shift and SiLU',
    build: (b) =>
      groupNorm(b.graph, b.x('x', [2, 3, 2, 6]), ...affine(b, 6, 'trained'), {
        groups: 2,
        eps: 1e-5,
        activation: 'silu',
        shift: b.x('shift', [2, 6]),
      }),
  },
  {
    title: 'a shift that wants no gradient',
    build: (b) =>
      groupNorm(b.graph, b.x('x', [2, 3, 2, 6]), ...affine(b, 6, 'frozen'), {
        groups: 2,
        eps: 1e-5,
        shift: b.constant('shift', [2, 6]),
      }),
  },
  {
    title: 'only the shift wants a gradient',
    build: (b) =>
      groupNorm(b.graph, b.constant('x', [2, 3, 2, 6]), ...affine(b, 6, 'frozen'), {
        groups: 2,
        eps: 1e-5,
        shift: b.x('shift', [2, 6]),
      }),
  },
  {
    title: 'channels beyond one vector',
    build: (b) =>
      groupNorm(b.graph, b.x('x', [1, 3, 3, 34]), ...affine(b, 34, 'trained'), {
        groups: 2,
        eps: 1e-5,
        activation: 'silu',
      }),
  },
]

const attentionCases: OpCase[] = [
  { title: 'packed q, k, v', build: (b) => attention(b.graph, [b.x('qkv', [2, 5, 18])], { heads: 2 }) },
  { title: 'packed, causal', build: (b) => attention(b.graph, [b.x('qkv', [2, 5, 18])], { heads: 3, causal: true }) },
  { title: 'packed image', build: (b) => attention(b.graph, [b.x('qkv', [1, 2, 3, 15])], { heads: 1 }) },
  {
    title: 'q and packed k, v',
    build: (b) => attention(b.graph, [b.x('q', [2, 3, 6]), b.x('kv', [2, 7, 12])], { heads: 2 }),
  },
  {
    title: 'q and packed k, v that want no gradient',
    build: (b) => attention(b.graph, [b.x('q', [2, 3, 6]), b.constant('kv', [2, 7, 12])], { heads: 2 }),
  },
  {
    title: 'an image that reads text',
    build: (b) => attention(b.graph, [b.x('q', [2, 3, 2, 6]), b.x('kv', [2, 4, 12])], { heads: 1 }),
  },
  {
    title: 'q, k and v apart',
    build: (b) => attention(b.graph, [b.x('q', [2, 3, 6]), b.x('k', [2, 4, 6]), b.x('v', [2, 4, 6])], { heads: 3 }),
  },
  {
    title: 'q, k and v apart, causal',
    build: (b) =>
      attention(b.graph, [b.x('q', [1, 6, 5]), b.x('k', [1, 6, 5]), b.x('v', [1, 6, 5])], { heads: 1, causal: true }),
  },
  { title: 'one token', build: (b) => attention(b.graph, [b.x('qkv', [2, 1, 12])], { heads: 2 }) },
  {
    title: 'more tokens than one tile',
    build: (b) => attention(b.graph, [b.x('q', [1, 70, 3]), b.x('kv', [1, 77, 6])], { heads: 1 }),
  },
]

/** Mean and log variance of [n, 2c], in two places beyond the clamp, where a gradient must not flow. */
function moments(n: number, c: number, { upper }: { upper: number }): number[] {
  const values = normals(n * 2 * c, 3)
  values[c] = upper
  values[2 * c + c] = -31
  return values
}

export const cases: Readonly<Record<string, readonly OpCase[]>> = {
  activation: [
    ...activationKinds.map((kind) => ({
      title: kind,
      build: (b: CaseBuilder) => activation(b.graph, b.x('x', [3, 7]), kind),
    })),
    {
      title: 'of a value that wants no gradient, so that nobody reads it afterwards',
      build: (b) => activation(b.graph, b.constant('x', [3, 7]), 'silu'),
    },
  ],

  add: [
    { title: 'two values', build: (b) => add(b.graph, b.x('a', [3, 5]), b.x('b', [3, 5])) },
    {
      title: 'a value and one that wants no gradient',
      build: (b) => add(b.graph, b.constant('a', [3, 5]), b.x('b', [3, 5])),
    },
    {
      title: 'a value and itself',
      build(b) {
        const a = b.x('a', [3, 5])
        return add(b.graph, a, a)
      },
    },
    {
      title: 'a value used three times',
      build(b) {
        const a = b.x('a', [3, 5])
        return add(b.graph, activation(b.graph, a, 'silu'), add(b.graph, activation(b.graph, a, 'gelu'), a))
      },
    },
  ],

  attention: attentionCases,

  cast: [{ title: 'from f32 to f32', build: (b) => emitOne(b.graph, castOp, [b.x('x', [3, 5])], { dtype: 'f32' }) }],

  concat: [
    { title: 'two values', build: (b) => concat(b.graph, b.x('a', [2, 3, 4]), b.x('b', [2, 3, 1])) },
    {
      title: 'only the first wants a gradient',
      build: (b) => concat(b.graph, b.x('a', [3, 4]), b.constant('b', [3, 2])),
    },
    {
      title: 'only the second wants a gradient',
      build: (b) => concat(b.graph, b.constant('a', [3, 4]), b.x('b', [3, 2])),
    },
  ],

  conv2d: conv2dCases,

  embedding: [
    {
      title: 'a token that occurs often, positions that are not all used',
      build: (b) =>
        embedding(
          b.graph,
          b.ids('ids', [2, 3], [4, 0, 4, 4, 2, 0]),
          b.trained('token', [6, 5]),
          b.trained('position', [4, 5]),
        ),
    },
    {
      title: 'only the tokens trained',
      build: (b) =>
        embedding(b.graph, b.ids('ids', [1, 2], [1, 1]), b.trained('token', [3, 5]), b.frozen('position', [2, 5])),
    },
    {
      title: 'only the positions trained',
      build: (b) =>
        embedding(
          b.graph,
          b.ids('ids', [2, 2], [1, 2, 0, 1]),
          b.frozen('token', [3, 5]),
          b.trained('position', [2, 5]),
        ),
    },
  ],

  gaussian_kl: [
    { title: 'images', build: (b) => gaussianKl(b.graph, b.x('moments', [2, 3, 2, 6])).total },
    // Below only: exp(20) above would dwarf all other values, and with them their central differences.
    {
      title: 'log variances below the clamp',
      build: (b) => gaussianKl(b.graph, b.x('moments', [3, 4], moments(3, 2, { upper: 1 }))).total,
    },
  ],

  gate: gateCases,

  geglu: [{ title: 'tokens', build: (b) => geglu(b.graph, b.x('x', [2, 3, 14])) }],

  group_norm: groupNormCases,

  layer_norm: [
    { title: 'frozen', build: (b) => layerNorm(b.graph, b.x('x', [2, 3, 7]), ...affine(b, 7, 'frozen'), 1e-5) },
    { title: 'trained', build: (b) => layerNorm(b.graph, b.x('x', [2, 3, 7]), ...affine(b, 7, 'trained'), 1e-5) },
    {
      title: 'trained, on an input that wants no gradient',
      build: (b) => layerNorm(b.graph, b.constant('x', [5, 7]), ...affine(b, 7, 'trained'), 1e-6),
    },
    {
      title: 'neither gamma nor beta',
      build: (b) => layerNorm(b.graph, b.x('x', [2, 3, 8]), undefined, undefined, 1e-6),
    },
    {
      title: 'only beta, which is trained',
      build: (b) => layerNorm(b.graph, b.x('x', [2, 3, 7]), undefined, b.trained('beta', [7], 'f32'), 1e-5),
    },
    {
      title: 'only gamma, which is trained',
      build: (b) => layerNorm(b.graph, b.x('x', [2, 3, 8]), b.trained('gamma', [8], 'f32'), undefined, 1e-5),
    },
    {
      title: 'columns beyond one vector',
      build: (b) => layerNorm(b.graph, b.x('x', [3, 37]), ...affine(b, 37, 'trained'), 1e-5),
    },
  ],

  linear: linearCases,

  loss: lossKinds.map((kind) => ({
    title: kind,
    build(b) {
      const robust = kind === 'huber' || kind === 'smooth_l1'
      return loss(
        b.graph,
        {
          pred: b.x('pred', [3, 2, 5]),
          target: b.constant('target', [3, 2, 5], undefined, 'f32'),
          weight: b.constant('weight', [3], [1, 0.25, 3]),
          ...(robust && { huberC: b.constant('huber_c', [3], [0.1, 1, 0.4]) }),
        },
        kind,
      ).total
    },
  })),

  modulate: modulateCases,

  reshape: [
    { title: 'an image to tokens', build: (b) => reshape(b.graph, b.x('x', [2, 3, 2, 5]), [2, 6, 5]) },
    {
      title: 'a value that is read under both shapes',
      build(b) {
        const x = b.x('x', [3, 4])
        return add(b.graph, reshape(b.graph, activation(b.graph, reshape(b.graph, x, [2, 6]), 'silu'), [3, 4]), x)
      },
    },
  ],

  rms_norm: rmsNormCases,

  rotary_embedding: rotaryEmbeddingCases,

  sample_gaussian: [
    {
      title: 'images',
      build: (b) => sampleGaussian(b.graph, b.x('moments', [2, 3, 2, 6]), b.constant('eps', [2, 3, 2, 3], undefined, 'f32')),
    },
    {
      title: 'log variances beyond the clamp, where nothing flows',
      // The noise is 0 where exp(½·20) would dwarf every other value.
      build: (b) =>
        sampleGaussian(
          b.graph,
          b.x('moments', [3, 4], moments(3, 2, { upper: 21.5 })),
          b.constant('eps', [3, 2], [0, 1, 0.5, -1, 2, 0.3], 'f32'),
        ),
    },
  ],

  slice: [
    { title: 'columns in the middle', build: (b) => slice(b.graph, b.x('x', [2, 3, 7]), 2, 3) },
    { title: 'all columns', build: (b) => slice(b.graph, b.x('x', [3, 4]), 0, 4) },
    {
      title: 'parts of one value that overlap',
      build(b) {
        const x = b.x('x', [3, 5])
        return add(b.graph, slice(b.graph, x, 0, 3), slice(b.graph, x, 2, 3))
      },
    },
  ],

  upsample_nearest: [
    { title: 'twice as large', build: (b) => upsampleNearest(b.graph, b.x('x', [2, 2, 3, 5]), [4, 6]) },
    { title: 'to sizes that are no multiples', build: (b) => upsampleNearest(b.graph, b.x('x', [1, 3, 4, 2]), [5, 7]) },
  ],
}

/** Ops that need no gradient rule. "of" names the op whose gradient they compute: a case of that op must emit them. */
export const withoutGradient: Readonly<Record<string, { of: string } | { reason: string }>> = {
  activation_backward: { of: 'activation' },
  attention_backward: { of: 'attention' },
  conv2d_input_grad: { of: 'conv2d' },
  conv2d_weight_grad: { of: 'conv2d' },
  embedding_backward: { of: 'embedding' },
  gaussian_kl_backward: { of: 'gaussian_kl' },
  gate_backward: { of: 'gate' },
  geglu_backward: { of: 'geglu' },
  group_norm_backward: { of: 'group_norm' },
  layer_norm_backward: { of: 'layer_norm' },
  linear_input_grad: { of: 'linear' },
  linear_weight_grad: { of: 'linear' },
  loss_backward: { of: 'loss' },
  low_rank_dh: { of: 'linear' },
  modulate_backward: { of: 'modulate' },
  rms_norm_backward: { of: 'rms_norm' },
  sample_gaussian_backward: { of: 'sample_gaussian' },
  slice_backward: { of: 'slice' },
  sum_rows: { of: 'linear' },
  upsample_nearest_backward: { of: 'upsample_nearest' },
  adamw: { reason: 'an update of the flat arenas, after all gradients' },
  adamw_8bit: { reason: 'an update of the flat arenas, after all gradients' },
  clear: { reason: 'fills a buffer before the gradients are computed' },
  ema: { reason: 'an update of the flat arenas, after all gradients' },
  global_norm: { reason: 'measures the gradients themselves' },
  mix: { reason: 'makes the noised latents and targets from given values, with nothing trainable below' },
  timestep_embedding: { reason: 'of the given timesteps, with nothing trainable below' },
}
