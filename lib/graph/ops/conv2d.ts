/**
 * A 2-D convolution (cross-correlation) over channels-last images, with its adapters: as `linear`, with `down` a
 * convolution of the same geometry and `up` 1x1 (LoCon; LyCORIS, arXiv 2309.14859).
 *
 * x [N, H, W, C], w [O, kh, kw, C], bias [O] f32, downs [R, kh, kw, C], ups [n, r]
 * -> y [N, Ho, Wo, O], h of each adapter [N, Ho, Wo, R]
 */
import { emit, type Graph } from '../graph'
import {
  checkDType,
  checkShape,
  defineOp,
  listAttribute,
  numberAttribute,
  opError,
  required,
  type Attributes,
  type Operand,
} from '../op'
import { elements, rows, type Tensor } from '../tensor'
import { conv2dInputGrad } from './conv2d_input_grad'
import { conv2dWeightGrad } from './conv2d_weight_grad'
import { lowRankGradients } from './linear'
import { lowRankAttributes, lowRankFlops, lowRankOperands, readLowRank, type LowRank } from './low_rank'
import { sumRows } from './sum_rows'

export interface Conv2dGeometry {
  stride: number
  /** Rows and columns of zeros around the image: [top, bottom, left, right]. */
  padding: readonly [number, number, number, number]
}

export function conv2dOutputSize(
  op: string,
  x: Tensor,
  kernel: readonly number[],
  attributes: Attributes,
): [number, number] {
  const stride = numberAttribute(op, attributes, 'stride')
  const [top = 0, bottom = 0, left = 0, right = 0] = listAttribute(op, attributes, 'padding')
  const [, height = 0, width = 0] = x.shape
  const [kh = 1, kw = 1] = kernel
  return [Math.floor((height + top + bottom - kh) / stride) + 1, Math.floor((width + left + right - kw) / stride) + 1]
}

export const conv2dOp = defineOp({
  name: 'conv2d',
  infer(inputs, attributes) {
    const x = required('conv2d', inputs, 0, 'x')
    const w = required('conv2d', inputs, 1, 'w')
    const [o = 0, kh = 0, kw = 0, c = 0] = w.shape
    if (x.shape.length !== 4 || w.shape.length !== 4 || x.shape[3] !== c)
      throw opError('conv2d', 'x [N, H, W, C] and w [O, kh, kw, C] disagree', [x, w])
    checkDType('conv2d', w, x.dtype, 'w')
    if (inputs[2]) (checkShape('conv2d', inputs[2], [o], 'bias'), checkDType('conv2d', inputs[2], 'f32', 'bias'))
    const adapters = readLowRank('conv2d', inputs, attributes, 3, { outputs: o, down: [kh, kw, c] })
    const lead = [x.shape[0] ?? 0, ...conv2dOutputSize('conv2d', x, [kh, kw], attributes)]
    return [
      { shape: [...lead, o], dtype: x.dtype },
      ...adapters.map(({ down }) => ({ shape: [...lead, down.shape[0] ?? 0], dtype: x.dtype })),
    ]
  },
  gradient(context) {
    const { graph, operation } = context
    const { inputs, attributes } = operation
    const x = required('conv2d', inputs, 0, 'x')
    const w = required('conv2d', inputs, 1, 'w')
    const [o = 0, ...window] = w.shape
    const adapters = readLowRank('conv2d', inputs, attributes, 3, { outputs: o, down: window })
    const dy = context.dOutputs[0]
    if (!dy) return []
    const geometry = readGeometry(attributes)
    const dhs = lowRankGradients(context, dy, adapters, (dh, into) => conv2dWeightGrad(graph, dh, x, into, geometry))
    const dw = context.accumulator(1)
    if (dw) conv2dWeightGrad(graph, dy, x, dw, geometry)
    const db = context.accumulator(2)
    if (db) sumRows(graph, dy, 1, db)
    if (!context.needs(0)) return []
    return [
      conv2dInputGrad(
        graph,
        dy,
        w,
        x.shape,
        geometry,
        dhs.map((dh, a) => ({ dh, down: adapters[a]!.down })),
      ),
    ]
  },
  flops(inputs, outputs, attributes) {
    const w = required('conv2d', inputs, 1, 'w')
    const adapters = readLowRank('conv2d', inputs, attributes, 3, { outputs: w.shape[0] ?? 0, down: w.shape.slice(1) })
    return 2 * rows(outputs[0]!) * elements(w.shape) + lowRankFlops(adapters, rows(outputs[0]!))
  },
})

export function readGeometry(attributes: Attributes): Conv2dGeometry {
  const padding = listAttribute('conv2d', attributes, 'padding')
  return {
    stride: numberAttribute('conv2d', attributes, 'stride'),
    padding: padding as unknown as Conv2dGeometry['padding'],
  }
}

/** Adds a convolution with its adapters. */
export function conv2d(
  graph: Graph,
  x: Tensor,
  w: Tensor,
  bias: Operand,
  { stride, padding }: Conv2dGeometry,
  adapters: readonly LowRank[] = [],
  name = 'conv2d',
): Tensor {
  const attributes = { stride, padding, ...lowRankAttributes(adapters) }
  return emit(graph, conv2dOp, [x, w, bias, ...lowRankOperands(adapters)], attributes, name)[0]!
}
