/** Cases of the size that layers have, which central differences would take too long for. */
import { attention } from '../../../lib/graph/ops/attention'
import { conv2d } from '../../../lib/graph/ops/conv2d'
import { geglu } from '../../../lib/graph/ops/geglu'
import { groupNorm } from '../../../lib/graph/ops/group_norm'
import { layerNorm } from '../../../lib/graph/ops/layer_norm'
import { linear } from '../../../lib/graph/ops/linear'
import { rmsNorm } from '../../../lib/graph/ops/rms_norm'
import type { CaseBuilder, OpCase } from '../build-case'

const adapter = (b: CaseBuilder, outputs: number, window: readonly number[], rank: number) => ({
  down: b.trained('down', [rank, ...window]),
  ups: [{ up: b.trained('up', [outputs, rank]), column: 0, rank: 0 }],
  scale: 0.5,
})

const heads = (size: number): OpCase => ({
  title: `heads of ${size}`,
  build: (b) => attention(b.graph, [b.x('qkv', [1, 80, 2 * 3 * size])], { heads: 2 }),
})

export const largerCases: Readonly<Record<string, readonly OpCase[]>> = {
  attention: [
    ...[40, 64, 80, 128, 160].map(heads),
    {
      title: 'text of 77 tokens',
      build: (b) => attention(b.graph, [b.x('q', [1, 64, 80]), b.x('kv', [1, 77, 160])], { heads: 2 }),
    },
    {
      title: 'causal, 77 tokens',
      build: (b) => attention(b.graph, [b.x('qkv', [1, 77, 192])], { heads: 1, causal: true }),
    },
  ],
  conv2d: [
    {
      title: '64 channels',
      build: (b) =>
        conv2d(
          b.graph,
          b.x('x', [1, 8, 8, 64]),
          b.frozen('w', [64, 3, 3, 64]),
          b.frozen('bias', [64]),
          { stride: 1, padding: [1, 1, 1, 1] },
          [adapter(b, 64, [3, 3, 64], 16)],
        ),
    },
    {
      title: '64 channels, trained, stride 2',
      build: (b) =>
        conv2d(b.graph, b.x('x', [1, 8, 8, 64]), b.trained('w', [64, 3, 3, 64]), b.trained('bias', [64], 'f32'), {
          stride: 2,
          padding: [1, 1, 1, 1],
        }),
    },
  ],
  geglu: [{ title: '320 columns', build: (b) => geglu(b.graph, b.x('x', [1, 64, 640])) }],
  group_norm: [
    {
      title: '64 channels, with SiLU',
      build: (b) =>
        groupNorm(b.graph, b.x('x', [1, 8, 8, 64]), b.trained('gamma', [64], 'f32'), b.trained('beta', [64], 'f32'), {
          groups: 32,
          eps: 1e-5,
          activation: 'silu',
        }),
    },
  ],
  layer_norm: [
    {
      title: '320 columns',
      build: (b) =>
        layerNorm(b.graph, b.x('x', [64, 320]), b.trained('gamma', [320], 'f32'), b.trained('beta', [320], 'f32'), 1e-5),
    },
  ],
  linear: [
    {
      title: '320 to 192 columns',
      build: (b) =>
        linear(b.graph, b.x('x', [77, 320]), b.frozen('w', [192, 320]), b.frozen('bias', [192]), [
          adapter(b, 192, [320], 16),
        ]),
    },
    {
      title: '320 to 192 columns, trained',
      build: (b) =>
        linear(b.graph, b.x('x', [77, 320]), b.trained('w', [192, 320]), b.trained('bias', [192], 'f32')),
    },
  ],
  rms_norm: [
    {
      title: 'heads of 128',
      build: (b) => rmsNorm(b.graph, b.x('x', [2, 32, 2, 128]), b.trained('norm.weight', [128], 'f32'), 1e-6),
    },
  ],
}
