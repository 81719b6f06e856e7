/**
 * Scaled dot-product attention without storing the scores (FlashAttention-2, arXiv 2307.08691).
 *
 * The sources are one packed tensor qkv [N, .., 3C], or q [N, .., C] and kv [N, .., 2C], or q, k, v. Inside a packed
 * tensor all columns of q come first, then k, then v. Heads are consecutive runs of D = C / heads columns. Tq and Tk
 * are the products of the extents between the first and the last, so images need no reshape.
 * -> o [N, .., C], lse [N, heads, Tq] f32, the log-sum-exp of the scaled scores, which backward rebuilds them from
 */
import { emit, type Graph } from '../graph'
import { defineOp, numberAttribute, opError, type Operand } from '../op'
import { elements, type Tensor } from '../tensor'
import { attentionBackward } from './attention_backward'

/** Batch, tokens and width of queries and keys from the one to three sources. */
export function attentionSizes(
  op: string,
  sources: readonly Operand[],
): { batch: number; tq: number; tk: number; width: number } {
  const [q, k] = sources
  if (!q || sources.length > 3) throw opError(op, 'takes one to three sources', sources)
  const batch = q.shape[0] ?? 0
  const packed = q.shape.at(-1) ?? 0
  const width = sources.length === 1 ? packed / 3 : packed
  const tokens = (t: Tensor) => elements(t.shape.slice(1, -1))
  const expected = sources.length === 2 ? [packed, 2 * packed] : [packed, packed, packed]
  sources.forEach((source, i) => {
    if (i > 0 && (source?.shape[0] !== batch || source.shape.at(-1) !== expected[i]))
      throw opError(op, 'the sources differ in batch or width', sources)
  })
  return { batch, tq: tokens(q), tk: tokens(k ?? q), width }
}

export const attentionOp = defineOp({
  name: 'attention',
  infer(inputs, attributes) {
    const { batch, tq, width } = attentionSizes('attention', inputs)
    const heads = numberAttribute('attention', attributes, 'heads')
    if (width % heads !== 0) throw opError('attention', `width ${width} does not split into ${heads} heads`, inputs)
    return [
      { shape: [...inputs[0]!.shape.slice(0, -1), width], dtype: inputs[0]!.dtype },
      { shape: [batch, heads, tq], dtype: 'f32' },
    ]
  },
  gradient(context) {
    const dO = context.dOutputs[0]
    if (!dO) return []
    const { inputs, outputs, attributes } = context.operation
    return attentionBackward(context.graph, inputs as Tensor[], outputs[0]!, outputs[1]!, dO, attributes)
  },
  flops(inputs) {
    const { batch, tq, tk, width } = attentionSizes('attention', inputs)
    return 4 * batch * tq * tk * width
  },
})

export function attention(
  graph: Graph,
  sources: readonly Tensor[],
  { heads, causal = false }: { heads: number; causal?: boolean },
  name = 'attention',
): Tensor {
  const { width } = attentionSizes('attention', sources)
  return emit(
    graph,
    attentionOp,
    sources,
    { heads, causal: Number(causal), scale: 1 / Math.sqrt(width / heads) },
    name,
  )[0]!
}
