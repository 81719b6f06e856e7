/**
 * Rotary position embedding (Su et al. 2021, arXiv 2104.09864): each pair of neighbouring columns (2i, 2i + 1) of a head
 * is turned by the angle of its token, as diffusers' apply_rotary_emb with use_real_unbind_dim=-1 does:
 * (a, b) -> (a cos - b sin, b cos + a sin). The gradient is the turn back.
 *
 * x [N, T, .., heads · D], cos and sin [T, D/2] f32 -> y as x
 */
import { emitOne, type Graph } from '../graph'
import { checkDType, checkShape, defineOp, numberAttribute, opError, required } from '../op'
import { columns, elements, type Tensor } from '../tensor'

export const rotaryEmbeddingOp = defineOp({
  name: 'rotary_embedding',
  infer(inputs, attributes) {
    const x = required('rotary_embedding', inputs, 0, 'x')
    const cos = required('rotary_embedding', inputs, 1, 'cos')
    const sin = required('rotary_embedding', inputs, 2, 'sin')
    const inverse = numberAttribute('rotary_embedding', attributes, 'inverse')
    if (inverse !== 0 && inverse !== 1) throw opError('rotary_embedding', `inverse is ${inverse}, must be 0 or 1`)
    for (const tensor of [cos, sin]) checkDType('rotary_embedding', tensor, 'f32', tensor === cos ? 'cos' : 'sin')
    checkShape('rotary_embedding', sin, cos.shape, 'sin')
    if (x.shape.length < 3 || cos.shape.length !== 2 || cos.shape[0] !== x.shape[1])
      throw opError('rotary_embedding', 'x must be [N, T, .., C] and cos [T, D/2]', [x, cos])
    if (columns(x) % (2 * columns(cos)) !== 0)
      throw opError('rotary_embedding', `the columns of x are not heads of ${2 * columns(cos)}`, [x, cos])
    return [{ shape: x.shape, dtype: x.dtype }]
  },
  gradient({ graph, operation, dOutputs: [dy] }) {
    const [, cos, sin] = operation.inputs as [Tensor, Tensor, Tensor]
    const back = numberAttribute('rotary_embedding', operation.attributes, 'inverse') === 0
    return dy ? [rotaryEmbedding(graph, dy, { cos, sin, inverse: back }, `${dy.name}.dx`)] : []
  },
  flops: (inputs) => 3 * elements(inputs[0]!.shape),
  inPlace: [{ input: 0, output: 0 }],
})

export function rotaryEmbedding(
  graph: Graph,
  x: Tensor,
  { cos, sin, inverse = false }: { cos: Tensor; sin: Tensor; inverse?: boolean },
  name = 'rotary_embedding',
): Tensor {
  return emitOne(graph, rotaryEmbeddingOp, [x, cos, sin], { inverse: Number(inverse) }, name)
}
