/** average = decay·average + (1 - decay)·params over whole flat buffers: the averaged weights of full training. */
import { emit, type Graph } from '../graph'
import { checkShape, defineOp, numberAttribute, required } from '../op'
import type { Tensor } from '../tensor'

export const emaOp = defineOp({
  name: 'ema',
  infer(inputs, attributes) {
    const params = required('ema', inputs, 0, 'params')
    checkShape('ema', required('ema', inputs, 1, 'average'), params.shape, 'average')
    numberAttribute('ema', attributes, 'decay')
    return [undefined]
  },
})

export function ema(graph: Graph, params: Tensor, average: Tensor, decay: number): void {
  emit(graph, emaOp, [params, average], { decay }, average.name, [average])
}
