/**
 * AdamW with both moments in 8 bits (Dettmers et al., arXiv 2110.02861). Each range of the arena is cut into blocks of
 * 256 elements, the last of which may be shorter; a moment is a code a element, and the largest of each block. An update
 * widens them to f32, does what the op adamw does, in the same order, and then rounds both to the nearest codes.
 *
 * params, grads (whole buffers), m, v [blocks, 64] i32 (four codes a word), m_scale, v_scale [blocks], norm [1],
 * scalars as of adamw. Blocks are numbered through all ranges. State that is all zero means zero.
 */
import { emit, type Graph } from '../graph'
import { checkDType, checkShape, defineOp, listAttribute, numberAttribute, required, type Operand } from '../op'
import type { Tensor } from '../tensor'
import type { AdamwRange, AdamwSettings } from './adamw'

export const quantisationBlock = 256

/** Blocks of ranges of so many elements. */
export function quantisationBlocks(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + Math.ceil(count / quantisationBlock), 0)
}

/** Of the codes of one moment, as words. */
export const codesShape = (blocks: number): number[] => [blocks, quantisationBlock / 4]

const name = 'adamw_8bit'

export const adamw8bitOp = defineOp({
  name,
  infer(inputs, attributes) {
    const params = required(name, inputs, 0, 'params')
    checkShape(name, required(name, inputs, 1, 'grads'), params.shape, 'grads')
    const blocks = quantisationBlocks(listAttribute(name, attributes, 'count'))
    for (const [index, operand] of [
      [2, 'm'],
      [3, 'v'],
    ] as const) {
      const codes = required(name, inputs, index, operand)
      checkDType(name, codes, 'i32', operand)
      checkShape(name, codes, codesShape(blocks), operand)
      checkShape(name, required(name, inputs, index + 2, `${operand}_scale`), [blocks], `${operand}_scale`)
    }
    checkShape(name, required(name, inputs, 6, 'norm'), [1], 'norm')
    required(name, inputs, 7, 'scalars')
    for (const attribute of ['beta1', 'beta2', 'eps', 'max_norm']) numberAttribute(name, attributes, attribute)
    return [undefined, undefined, undefined, undefined, undefined, undefined]
  },
  // 16 for the update, and for each moment a product to widen it, a quotient and 8 comparisons to round it.
  flops: (_inputs, _outputs, attributes) => 36 * listAttribute(name, attributes, 'count').reduce((a, b) => a + b, 0),
})

export function adamw8bit(
  graph: Graph,
  tensors: {
    params: Tensor
    grads: Tensor
    m: Tensor
    v: Tensor
    mScale: Tensor
    vScale: Tensor
    norm: Tensor
    scalars: Tensor
    shadow: Operand
  },
  ranges: readonly Omit<AdamwRange, 'state'>[],
  { beta1, beta2, eps, maxNorm }: AdamwSettings,
): void {
  const { params, grads, m, v, mScale, vScale, norm, scalars, shadow } = tensors
  const attributes = {
    start: ranges.map((range) => range.start),
    count: ranges.map((range) => range.count),
    group: ranges.map((range) => range.group),
    weight_decay: ranges.map((range) => range.weightDecay),
    beta1,
    beta2,
    eps,
    max_norm: maxNorm,
  }
  const inputs = [params, grads, m, v, mScale, vScale, norm, scalars]
  emit(graph, adamw8bitOp, inputs, attributes, name, [params, m, v, mScale, vScale, shadow])
}
