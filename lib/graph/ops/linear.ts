/**
 * y = x·wᵀ + bias + Σ scale · h · upᵀ with h = x·downᵀ: a linear layer with its adapters as one product, so that y
 * makes no extra trip through memory (docs/architecture.md, "The fused low-rank product"; Hu et al. 2021, arXiv
 * 2106.09685).
 *
 * x [.., K], w [N, K], bias [N] f32, downs [R, K], ups [n, r] -> y [.., N], h of each adapter [.., R]
 */
import { checkDType, checkShape, defineOp, opError, required, type GradientContext, type Operand } from '../op'
import { emit, emitOne, type Graph } from '../graph'
import { columns, elements, rows, type Tensor } from '../tensor'
import { linearInputGrad } from './linear_input_grad'
import { linearWeightGrad } from './linear_weight_grad'
import { lowRankAttributes, lowRankFlops, lowRankOperands, readLowRank, type LowRank } from './low_rank'
import { lowRankDhOp } from './low_rank_dh'
import { sumRows } from './sum_rows'

export const linearOp = defineOp({
  name: 'linear',
  infer(inputs, attributes) {
    const x = required('linear', inputs, 0, 'x')
    const w = required('linear', inputs, 1, 'w')
    const [n = 0, k = 0] = w.shape
    if (w.shape.length !== 2 || columns(x) !== k)
      throw opError('linear', 'x [.., K] and w [N, K] disagree on K', [x, w])
    checkDType('linear', w, x.dtype, 'w')
    if (inputs[2]) (checkShape('linear', inputs[2], [n], 'bias'), checkDType('linear', inputs[2], 'f32', 'bias'))
    const adapters = readLowRank('linear', inputs, attributes, 3, { outputs: n, down: [k] })
    const lead = x.shape.slice(0, -1)
    return [
      { shape: [...lead, n], dtype: x.dtype },
      ...adapters.map(({ down }) => ({ shape: [...lead, down.shape[0] ?? 0], dtype: x.dtype })),
    ]
  },
  gradient(context) {
    const { inputs, attributes } = context.operation
    const x = required('linear', inputs, 0, 'x')
    const w = required('linear', inputs, 1, 'w')
    const adapters = readLowRank('linear', inputs, attributes, 3, { outputs: w.shape[0] ?? 0, down: [columns(x)] })
    const dy = context.dOutputs[0]
    if (!dy) return []
    const dhs = lowRankGradients(context, dy, adapters, (dh, into) => linearWeightGrad(context.graph, dh, x, into))
    const dw = context.accumulator(1)
    if (dw) linearWeightGrad(context.graph, dy, x, dw)
    const db = context.accumulator(2)
    if (db) sumRows(context.graph, dy, 1, db)
    return [
      context.needs(0)
        ? linearInputGrad(
            context.graph,
            dy,
            w,
            dhs.map((dh, a) => ({ dh, down: adapters[a]!.down })),
          )
        : undefined,
    ]
  },
  flops(inputs, outputs, attributes) {
    const x = required('linear', inputs, 0, 'x')
    const w = required('linear', inputs, 1, 'w')
    const adapters = readLowRank('linear', inputs, attributes, 3, { outputs: w.shape[0] ?? 0, down: [columns(x)] })
    return 2 * rows(x) * elements(w.shape) + lowRankFlops(adapters, rows(outputs[0]!))
  },
})

/**
 * The part of the gradient that linear and convolution share: gradients of ups and downs are accumulated, and each
 * adapter's dh (scale included) is returned for the input's gradient.
 */
export function lowRankGradients(
  context: GradientContext,
  dy: Tensor,
  adapters: readonly LowRank[],
  downGradient: (dh: Tensor, into: Tensor) => void,
): Tensor[] {
  const { graph, operation } = context
  const first = 3
  let upIndex = first + adapters.length
  return adapters.map((adapter, a) => {
    const h = operation.outputs[1 + a]
    for (const { up, column, rank } of adapter.ups) {
      const into = context.accumulator(upIndex++)
      if (into && h) linearWeightGrad(graph, dy, h, into, { yColumn: column, xColumn: rank, scale: adapter.scale })
      else if (!into && up.gradient) throw opError(operation.definition.name, 'lost the gradient of an up', [up])
    }
    const dh = emitOne(
      graph,
      lowRankDhOp,
      [dy, ...adapter.ups.map((up) => up.up)],
      {
        rank: adapter.down.shape[0] ?? 0,
        up_column: adapter.ups.map((up) => up.column),
        up_rank: adapter.ups.map((up) => up.rank),
        scale: adapter.scale,
      },
      `${dy.name}.dh`,
    )
    const into = context.accumulator(first + a)
    if (into) downGradient(dh, into)
    return dh
  })
}

/** Adds a linear layer with its adapters. */
export function linear(
  graph: Graph,
  x: Tensor,
  w: Tensor,
  bias: Operand,
  adapters: readonly LowRank[] = [],
  name = 'linear',
): Tensor {
  const operands = [x, w, bias, ...lowRankOperands(adapters)]
  return emit(graph, linearOp, operands, lowRankAttributes(adapters), name)[0]!
}
