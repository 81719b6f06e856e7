/** Cases of what transformers of the DiT family add: RMS norms, modulation, gated residuals, rotary embedding. */
import { activation } from '../../../lib/graph/ops/activation'
import { add } from '../../../lib/graph/ops/add'
import { gate } from '../../../lib/graph/ops/gate'
import { modulate } from '../../../lib/graph/ops/modulate'
import { rmsNorm } from '../../../lib/graph/ops/rms_norm'
import { rotaryEmbedding } from '../../../lib/graph/ops/rotary_embedding'
import type { CaseBuilder, OpCase } from '../build-case'

export const rmsNormCases: OpCase[] = [
  { title: 'frozen', build: (b) => rmsNorm(b.graph, b.x('x', [2, 3, 7]), b.frozen('norm.weight', [7]), 1e-5) },
  {
    title: 'trained, heads of tokens',
    build: (b) => rmsNorm(b.graph, b.x('x', [2, 3, 2, 8]), b.trained('norm.weight', [8], 'f32'), 1e-6),
  },
  {
    title: 'trained, on an input that wants no gradient',
    build: (b) => rmsNorm(b.graph, b.constant('x', [5, 7]), b.trained('norm.weight', [7], 'f32'), 1e-6),
  },
  {
    title: 'an eps as large as the values',
    build: (b) => rmsNorm(b.graph, b.x('x', [3, 36]), b.trained('norm.weight', [36], 'f32'), 0.5),
  },
]

export const modulateCases: OpCase[] = [
  {
    title: 'tokens',
    build: (b) => modulate(b.graph, b.x('x', [2, 3, 5]), { scale: b.x('scale', [2, 5]), shift: b.x('shift', [2, 5]) }),
  },
  {
    title: 'an image',
    build: (b) =>
      modulate(b.graph, b.x('x', [2, 2, 3, 8]), { scale: b.x('scale', [2, 8]), shift: b.x('shift', [2, 8]) }),
  },
  {
    title: 'only the value wants a gradient, so that nobody reads it afterwards',
    build: (b) =>
      modulate(b.graph, b.x('x', [2, 3, 5]), {
        scale: b.constant('scale', [2, 5]),
        shift: b.constant('shift', [2, 5]),
      }),
  },
  {
    title: 'only the scale wants a gradient',
    build: (b) =>
      modulate(b.graph, b.constant('x', [2, 3, 5]), {
        scale: b.x('scale', [2, 5]),
        shift: b.constant('shift', [2, 5]),
      }),
  },
  {
    title: 'only the shift wants a gradient',
    build: (b) =>
      modulate(b.graph, b.constant('x', [2, 3, 5]), {
        scale: b.constant('scale', [2, 5]),
        shift: b.x('shift', [2, 5]),
      }),
  },
]

export const gateCases: OpCase[] = [
  { title: 'tokens', build: (b) => gate(b.graph, b.x('x', [2, 3, 5]), b.x('z', [2, 3, 5]), b.x('gate', [2, 5])) },
  {
    title: 'a gate that wants no gradient',
    build: (b) => gate(b.graph, b.x('x', [2, 3, 8]), b.x('z', [2, 3, 8]), b.constant('gate', [2, 8])),
  },
  {
    title: 'only the branch wants a gradient',
    build: (b) => gate(b.graph, b.constant('x', [2, 3, 8]), b.x('z', [2, 3, 8]), b.constant('gate', [2, 8])),
  },
  {
    title: 'only the gate wants a gradient',
    build: (b) => gate(b.graph, b.constant('x', [2, 3, 8]), b.constant('z', [2, 3, 8]), b.x('gate', [2, 8])),
  },
  {
    title: 'only the residual wants a gradient',
    build: (b) => gate(b.graph, b.x('x', [2, 3, 5]), b.constant('z', [2, 3, 5]), b.constant('gate', [2, 5])),
  },
  {
    title: 'a residual that is read again',
    build(b) {
      const x = b.x('x', [2, 3, 5])
      const gated = gate(b.graph, x, activation(b.graph, x, 'silu'), b.constant('gate', [2, 5]))
      return add(b.graph, gated, x)
    },
  },
]

/** Angles of 3 tokens, cos and sin of `pairs` each. */
const angles = (b: CaseBuilder, pairs: number) => {
  const table = (of: (angle: number) => number) =>
    Array.from({ length: 3 * pairs }, (_, i) => of((2 + Math.floor(i / pairs)) / 3 ** (i % pairs)))
  const constant = (name: string, values: number[]) => b.constant(name, [3, pairs], values, 'f32')
  return { cos: constant('cos', table(Math.cos)), sin: constant('sin', table(Math.sin)) }
}

export const rotaryEmbeddingCases: OpCase[] = [
  { title: 'heads side by side', build: (b) => rotaryEmbedding(b.graph, b.x('x', [2, 3, 18]), angles(b, 3)) },
  { title: 'heads apart', build: (b) => rotaryEmbedding(b.graph, b.x('x', [2, 3, 2, 8]), angles(b, 4)) },
  {
    title: 'backwards',
    build: (b) => rotaryEmbedding(b.graph, b.x('x', [2, 3, 8]), { ...angles(b, 4), inverse: true }),
  },
]
