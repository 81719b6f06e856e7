/**
 * A sample of a diagonal Gaussian (the VAE's posterior): moments [.., 2C] = mean | log variance, eps [.., C] f32 ->
 * mean + exp(½·logvar)·eps.
 */
import { emitOne, type Graph } from '../graph'
import { checkShape, defineOp, required } from '../op'
import { columns, elements, type Tensor } from '../tensor'
import { sampleGaussianBackward } from './sample_gaussian_backward'

export const sampleGaussianOp = defineOp({
  name: 'sample_gaussian',
  infer(inputs) {
    const moments = required('sample_gaussian', inputs, 0, 'moments')
    const shape = [...moments.shape.slice(0, -1), columns(moments) / 2]
    checkShape('sample_gaussian', required('sample_gaussian', inputs, 1, 'eps'), shape, 'eps')
    return [{ shape, dtype: moments.dtype }]
  },
  gradient({ graph, operation, dOutputs: [dz] }) {
    return dz ? [sampleGaussianBackward(graph, dz, operation.inputs[0]!, operation.inputs[1]!)] : []
  },
  flops: (inputs) => 8 * elements(inputs[0]!.shape),
})

export function sampleGaussian(graph: Graph, moments: Tensor, eps: Tensor): Tensor {
  return emitOne(graph, sampleGaussianOp, [moments, eps], {}, 'sample')
}
