/**
 * Which frozen matrices a card opens in a block of its memory, if they are stored in fewer bits: those that some op reads as
 * plain values. A product of few rows opens its matrix on the way to the tensor cores instead and needs no block.
 */
import type { Operation } from '../graph/graph'
import { linearOp } from '../graph/ops/linear'
import { linearInputGradOp } from '../graph/ops/linear_input_grad'
import { rows } from '../graph/tensor'

/** Of a product that opens its matrix on the way; the rule is that of cuda/gemm/stored_matmul.h. */
const mostRows = 192

function opensOnTheWay({ definition, inputs: [x, w] }: Operation): boolean {
  return (definition === linearOp || definition === linearInputGradOp) && w?.dtype === 'bf16' && !!x && rows(x) <= mostRows
}

/** Names of all weights, however they are stored, that the ops would read opened. */
export function openedWeights(ops: Iterable<Operation>): Set<string> {
  const names = new Set<string>()
  for (const op of ops) {
    const onTheWay = opensOnTheWay(op)
    op.inputs.forEach((tensor, i) => {
      if (tensor?.storage.space === 'weight' && !(onTheWay && i === 1)) names.add(tensor.storage.name)
    })
  }
  return names
}
