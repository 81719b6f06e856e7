/** Gradients of the one to three sources of `attention`, from o, lse and do; the scores are rebuilt, never stored. */
import { emit, type Graph } from '../graph'
import { defineOp, numberAttribute, required, type Attributes, type Operand } from '../op'
import { elements, type Tensor } from '../tensor'

export const attentionBackwardOp = defineOp({
  name: 'attention_backward',
  infer(inputs, attributes) {
    const sources = numberAttribute('attention_backward', attributes, 'sources')
    required('attention_backward', inputs, sources + 2, 'do')
    return inputs.slice(0, sources).map((source) => ({ shape: source!.shape, dtype: source!.dtype }))
  },
  flops(inputs, _outputs, attributes) {
    const sources = attributes.sources as number
    const keys = inputs[Math.min(1, sources - 1)]!
    return 10 * elements(inputs[sources]!.shape) * elements(keys.shape.slice(1, -1))
  },
})

export function attentionBackward(
  graph: Graph,
  sources: readonly Tensor[],
  o: Tensor,
  lse: Tensor,
  dO: Tensor,
  attributes: Attributes,
): Operand[] {
  return emit(
    graph,
    attentionBackwardOp,
    [...sources, o, lse, dO],
    { ...attributes, sources: sources.length },
    `${dO.name}.dqkv`,
  )
}
