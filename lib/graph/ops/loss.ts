/**
 * per_sample[n] = weight[n] · mean of the elementwise loss; total = mean of per_sample. Kinds as sd-scripts'
 * conditional_loss: l2 d², l1 |d|, huber 2c(√(d²+c²) - c), smooth_l1 2(√(d²+c²) - c), with c per sample.
 *
 * pred [N, ..], target [N, ..] f32, weight [N] f32, huber_c [N] f32 -> per_sample [N] f32, total [1] f32
 */
import { emit, type Graph } from '../graph'
import { checkDType, checkShape, defineOp, opError, required, type Operand } from '../op'
import { elements, type Tensor } from '../tensor'
import { lossBackward } from './loss_backward'

export const lossKinds = ['l2', 'l1', 'huber', 'smooth_l1'] as const
export type LossKind = (typeof lossKinds)[number]

export const lossOp = defineOp({
  name: 'loss',
  infer(inputs, attributes) {
    const pred = required('loss', inputs, 0, 'pred')
    const target = required('loss', inputs, 1, 'target')
    checkShape('loss', target, pred.shape, 'target')
    checkDType('loss', target, 'f32', 'target')
    const batch = pred.shape[0] ?? 0
    checkShape('loss', required('loss', inputs, 2, 'weight'), [batch], 'weight')
    const kind = lossKinds.find((known) => known === attributes.kind)
    if (!kind) throw opError('loss', `unknown kind ${String(attributes.kind)}`)
    if (kind === 'huber' || kind === 'smooth_l1')
      checkShape('loss', required('loss', inputs, 3, 'huber_c'), [batch], 'huber_c')
    return [
      { shape: [batch], dtype: 'f32' },
      { shape: [1], dtype: 'f32' },
    ]
  },
  gradient({ graph, operation, seed }) {
    const scale = seed(1)
    return scale === undefined ? [] : [lossBackward(graph, operation.inputs, operation.attributes, scale)]
  },
  flops: (inputs) => 4 * elements(inputs[0]!.shape),
})

export function loss(
  graph: Graph,
  { pred, target, weight, huberC }: { pred: Tensor; target: Tensor; weight: Tensor; huberC?: Operand },
  kind: LossKind,
): { perSample: Tensor; total: Tensor } {
  const [perSample, total] = emit(graph, lossOp, [pred, target, weight, huberC], { kind }, 'loss')
  return { perSample: perSample!, total: total! }
}
