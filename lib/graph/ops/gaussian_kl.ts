/**
 * KL divergence of a diagonal Gaussian from N(0, 1), mean over the latent's elements: ½·mean(μ² + σ² - 1 - ln σ²)
 * (Kingma and Welling, arXiv 1312.6114).
 */
import { emit, type Graph } from '../graph'
import { defineOp, required } from '../op'
import { elements, type Tensor } from '../tensor'
import { gaussianKlBackward } from './gaussian_kl_backward'

export const gaussianKlOp = defineOp({
  name: 'gaussian_kl',
  infer(inputs) {
    const moments = required('gaussian_kl', inputs, 0, 'moments')
    return [
      { shape: [moments.shape[0] ?? 0], dtype: 'f32' },
      { shape: [1], dtype: 'f32' },
    ]
  },
  gradient({ graph, operation, seed }) {
    const scale = seed(1)
    return scale === undefined ? [] : [gaussianKlBackward(graph, operation.inputs[0]!, scale)]
  },
  flops: (inputs) => 8 * elements(inputs[0]!.shape),
})

export function gaussianKl(graph: Graph, moments: Tensor): { perSample: Tensor; total: Tensor } {
  const [perSample, total] = emit(graph, gaussianKlOp, [moments], {}, 'kl')
  return { perSample: perSample!, total: total! }
}
