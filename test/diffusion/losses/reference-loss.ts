/** The losses in double precision, written from their formulas, with their gradients by hand. */
export type Elementwise = 'mse' | 'l1' | 'huber' | 'smooth_l1'

export interface ReferenceLoss {
  /** [N] after weighting. */
  perSample: Float64Array
  /** d(mean of perSample) / d prediction. */
  gradient: Float64Array
}

/**
 * @param prediction, target [N, ...]
 * @param weight, c [N]; c for huber and smooth_l1
 * @param mask factor on each element
 */
export function referenceLoss(
  kind: Elementwise, prediction: ArrayLike<number>, target: ArrayLike<number>, weight: readonly number[],
  c?: readonly number[], mask?: ArrayLike<number>,
): ReferenceLoss {
  const samples = weight.length
  const size = prediction.length / samples
  const perSample = new Float64Array(samples)
  const gradient = new Float64Array(prediction.length)
  for (let n = 0; n < samples; n++) {
    for (let i = n * size; i < (n + 1) * size; i++) {
      const [value, slope] = elementwise(kind, prediction[i]! - target[i]!, c?.[n])
      const factor = weight[n]! * (mask?.[i] ?? 1) / size
      perSample[n]! += value * factor
      gradient[i] = slope * factor / samples
    }
  }
  return { perSample, gradient }
}

/** Value and derivative at d. */
function elementwise(kind: Elementwise, d: number, c = Number.NaN): [value: number, slope: number] {
  const root = Math.sqrt(d * d + c * c)
  switch (kind) {
    case 'mse': return [d * d, 2 * d]
    case 'l1': return [Math.abs(d), Math.sign(d)]
    case 'huber': return [2 * c * (root - c), 2 * c * d / root]
    case 'smooth_l1': return [2 * (root - c), 2 * d / root]
  }
}
