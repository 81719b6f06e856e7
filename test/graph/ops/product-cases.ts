/**
 * Cases of the two products with low-rank adapters. Shapes are small and odd: no dimension equals another by accident.
 */
import { conv2d, type Conv2dGeometry } from '../../../lib/graph/ops/conv2d'
import { linear } from '../../../lib/graph/ops/linear'
import type { LowRank } from '../../../lib/graph/ops/low_rank'
import type { CaseBuilder, OpCase } from '../build-case'

type Factors = 'trained' | 'frozen'

/** One adapter on the whole layer. */
function adapter(
  b: CaseBuilder,
  name: string,
  [n, ...window]: readonly number[],
  rank: number,
  scale: number,
  kind: Factors = 'trained',
): LowRank {
  const down = b[kind](`${name}.down`, [rank, ...window])
  return { down, ups: [{ up: b[kind](`${name}.up`, [n!, rank]), column: 0, rank: 0 }], scale }
}

export const linearCases: OpCase[] = [
  {
    title: 'everything frozen, only x wants a gradient',
    build: (b) => linear(b.graph, b.x('x', [2, 3, 5]), b.frozen('w', [7, 5]), b.frozen('bias', [7])),
  },
  {
    title: 'weight and bias trained',
    build: (b) => linear(b.graph, b.x('x', [2, 3, 5]), b.trained('w', [7, 5]), b.trained('bias', [7], 'f32')),
  },
  {
    title: 'weight and bias trained on a frozen input, one row',
    build: (b) => linear(b.graph, b.constant('x', [1, 5]), b.trained('w', [3, 5]), b.trained('bias', [3], 'f32')),
  },
  {
    title: 'one adapter on a frozen weight without bias',
    build: (b) =>
      linear(b.graph, b.x('x', [2, 3, 5]), b.frozen('w', [7, 5]), undefined, [adapter(b, 'a', [7, 5], 2, 0.5)]),
  },
  {
    title: 'one adapter on an input that wants no gradient',
    build: (b) =>
      linear(b.graph, b.constant('x', [2, 3, 5]), b.frozen('w', [7, 5]), b.frozen('bias', [7]), [
        adapter(b, 'a', [7, 5], 2, 0.5),
      ]),
  },
  {
    title: 'rank 1 on a single row of one column',
    build: (b) => linear(b.graph, b.x('x', [1, 1]), b.frozen('w', [1, 1]), undefined, [adapter(b, 'a', [1, 1], 1, 2)]),
  },
  {
    title: 'rank above both sides of the weight',
    build: (b) =>
      linear(b.graph, b.x('x', [9, 5]), b.frozen('w', [3, 5]), undefined, [adapter(b, 'a', [3, 5], 11, 0.3)]),
  },
  {
    title: 'a stack of two adapters with different ranks and scales',
    build: (b) =>
      linear(b.graph, b.x('x', [2, 3, 5]), b.frozen('w', [7, 5]), b.frozen('bias', [7]), [
        adapter(b, 'a', [7, 5], 2, 0.5),
        adapter(b, 'b', [7, 5], 3, -1.25),
      ]),
  },
  {
    title: 'a trained adapter on top of a frozen one',
    build: (b) =>
      linear(b.graph, b.x('x', [2, 3, 5]), b.frozen('w', [7, 5]), undefined, [
        adapter(b, 'a', [7, 5], 2, 0.8, 'frozen'),
        adapter(b, 'b', [7, 5], 3, 0.5),
      ]),
  },
  {
    title: 'a frozen adapter alone',
    build: (b) =>
      linear(b.graph, b.x('x', [2, 3, 5]), b.frozen('w', [7, 5]), undefined, [
        adapter(b, 'a', [7, 5], 2, 0.8, 'frozen'),
      ]),
  },
  {
    title: 'weight, bias and adapter trained together',
    build: (b) =>
      linear(b.graph, b.x('x', [4, 5]), b.trained('w', [7, 5]), b.trained('bias', [7], 'f32'), [
        adapter(b, 'a', [7, 5], 2, 0.5),
      ]),
  },
  {
    title: 'fused q, k, v with one h, different ranks and windows',
    build(b) {
      const ups = [
        { up: b.trained('q.up', [5, 2]), column: 0, rank: 0 },
        { up: b.trained('k.up', [5, 1]), column: 5, rank: 2 },
        { up: b.trained('v.up', [5, 4]), column: 10, rank: 3 },
      ]
      return linear(b.graph, b.x('x', [2, 3, 5]), b.frozen('w', [15, 5]), b.frozen('bias', [15]), [
        { down: b.trained('qkv.down', [7, 5]), ups, scale: 0.5 },
      ])
    },
  },
  {
    title: 'fused parts of which one has no adapter, over a frozen stack',
    build(b) {
      const ups = [
        { up: b.trained('q.up', [4, 3]), column: 0, rank: 0 },
        { up: b.trained('v.up', [4, 2]), column: 8, rank: 3 },
      ]
      return linear(b.graph, b.x('x', [6, 7]), b.frozen('w', [12, 7]), undefined, [
        adapter(b, 'below', [12, 7], 2, 0.7, 'frozen'),
        { down: b.trained('qv.down', [5, 7]), ups, scale: 1.5 },
      ])
    },
  },
  {
    title: 'larger than one vector and one tile in every direction',
    build: (b) =>
      linear(b.graph, b.x('x', [37, 19]), b.frozen('w', [33, 19]), b.frozen('bias', [33]), [
        adapter(b, 'a', [33, 19], 17, 0.25),
      ]),
  },
]

const same: Conv2dGeometry = { stride: 1, padding: [1, 1, 1, 1] }
const halving: Conv2dGeometry = { stride: 2, padding: [1, 1, 1, 1] }
const belowAndRight: Conv2dGeometry = { stride: 2, padding: [0, 1, 0, 1] }

export const conv2dCases: OpCase[] = [
  {
    title: '3x3, everything frozen, only x wants a gradient',
    build: (b) => conv2d(b.graph, b.x('x', [2, 4, 5, 3]), b.frozen('w', [2, 3, 3, 3]), b.frozen('bias', [2]), same),
  },
  {
    title: '3x3, weight and bias trained',
    build: (b) =>
      conv2d(b.graph, b.x('x', [2, 4, 5, 3]), b.trained('w', [2, 3, 3, 3]), b.trained('bias', [2], 'f32'), same),
  },
  {
    title: '3x3 on an input that wants no gradient, without bias',
    build: (b) => conv2d(b.graph, b.constant('x', [1, 4, 5, 3]), b.trained('w', [2, 3, 3, 3]), undefined, same),
  },
  {
    title: 'stride 2 over odd sides, adapter',
    build: (b) =>
      conv2d(b.graph, b.x('x', [1, 5, 7, 3]), b.trained('w', [2, 3, 3, 3]), b.frozen('bias', [2]), halving, [
        adapter(b, 'a', [2, 3, 3, 3], 2, 0.5),
      ]),
  },
  {
    title: 'stride 2 over even sides, padded below and to the right only',
    build: (b) =>
      conv2d(
        b.graph,
        b.x('x', [2, 4, 6, 3]),
        b.trained('w', [5, 3, 3, 3]),
        b.trained('bias', [5], 'f32'),
        belowAndRight,
      ),
  },
  {
    title: 'stride 2 where the last row and column are never read',
    build: (b) =>
      conv2d(
        b.graph,
        b.x('x', [1, 6, 4, 2]),
        b.trained('w', [3, 3, 3, 2]),
        undefined,
        { stride: 2, padding: [0, 0, 0, 0] },
        [adapter(b, 'a', [3, 3, 3, 2], 1, 2)],
      ),
  },
  {
    title: 'a kernel that is not square, uneven padding on all sides',
    build: (b) =>
      conv2d(
        b.graph,
        b.x('x', [2, 4, 3, 2]),
        b.trained('w', [3, 2, 3, 2]),
        b.trained('bias', [3], 'f32'),
        { stride: 1, padding: [0, 1, 2, 1] },
        [adapter(b, 'a', [3, 2, 3, 2], 2, 0.5)],
      ),
  },
  {
    title: '1x1 with stride 2',
    build: (b) =>
      conv2d(b.graph, b.x('x', [1, 3, 5, 4]), b.trained('w', [3, 1, 1, 4]), b.frozen('bias', [3]), {
        stride: 2,
        padding: [0, 0, 0, 0],
      }),
  },
  {
    title: 'an image smaller than the kernel',
    build: (b) =>
      conv2d(b.graph, b.x('x', [2, 1, 1, 3]), b.trained('w', [2, 3, 3, 3]), undefined, same, [
        adapter(b, 'a', [2, 3, 3, 3], 2, 0.5),
      ]),
  },
  {
    title: 'an adapter on a frozen weight',
    build: (b) =>
      conv2d(b.graph, b.x('x', [2, 4, 5, 3]), b.frozen('w', [4, 3, 3, 3]), b.frozen('bias', [4]), same, [
        adapter(b, 'a', [4, 3, 3, 3], 2, 0.5),
      ]),
  },
  {
    title: 'an adapter on an input that wants no gradient',
    build: (b) =>
      conv2d(b.graph, b.constant('x', [2, 4, 5, 3]), b.frozen('w', [4, 3, 3, 3]), b.frozen('bias', [4]), same, [
        adapter(b, 'a', [4, 3, 3, 3], 2, 0.5),
      ]),
  },
  {
    title: 'a trained adapter on top of a frozen one, stride 2',
    build: (b) =>
      conv2d(b.graph, b.x('x', [1, 4, 5, 3]), b.frozen('w', [4, 3, 3, 3]), b.frozen('bias', [4]), halving, [
        adapter(b, 'a', [4, 3, 3, 3], 2, 0.8, 'frozen'),
        adapter(b, 'b', [4, 3, 3, 3], 3, -0.5),
      ]),
  },
  {
    title: 'channels beyond one vector',
    build: (b) =>
      conv2d(b.graph, b.x('x', [1, 3, 4, 17]), b.frozen('w', [19, 3, 3, 17]), b.frozen('bias', [19]), same, [
        adapter(b, 'a', [19, 3, 3, 17], 5, 0.5),
      ]),
  },
]
