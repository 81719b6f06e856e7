/** Smooth L1, 2 (sqrt(d^2 + c^2) - c): the pseudo-Huber loss divided by c, close to 2|d| for large errors. */
import { huberC, huberOptions } from './huber'
import { defineLoss } from './loss'

export const smoothL1 = defineLoss({
  name: 'smooth_l1',
  label: 'smooth L1',
  options: huberOptions,
  c: huberC,
})
