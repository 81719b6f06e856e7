/** Images and latents at the border of the API: files' order [N, C, H, W] outside, channels last [N, H, W, C] inside. */
import { LorikeetError } from '../base/errors'
import { elements } from '../graph/tensor'

/** Values with their shape. Images are in [-1, 1]; latents are scaled (about unit variance). */
export interface Values {
  data: Float32Array
  shape: readonly number[]
}

/** @throws LorikeetError (usage) when `values` is not [N, channels, H, W] */
export function checkImage(name: string, values: Values, channels: number): [number, number, number, number] {
  const [n = 0, c = 0, h = 0, w = 0] = values.shape
  const whole = values.shape.length === 4 && n > 0 && h > 0 && w > 0 && c === channels
  if (whole && elements(values.shape) === values.data.length) return [n, c, h, w]
  throw new LorikeetError('usage', 'has the wrong shape', {
    where: name,
    expected: `[N, ${channels}, H, W] and as many values`,
    received: `[${values.shape.join(', ')}] and ${values.data.length} values`,
  })
}

/** [N, C, H, W] -> [N, H, W, C] */
export function toChannelsLast({ data, shape }: Values): Values {
  const [n = 1, c = 1, h = 1, w = 1] = shape
  const pixels = h * w
  const result = new Float32Array(data.length)
  for (let image = 0; image < n; image++)
    for (let channel = 0; channel < c; channel++) {
      const from = (image * c + channel) * pixels
      const to = image * pixels * c + channel
      for (let pixel = 0; pixel < pixels; pixel++) result[to + pixel * c] = data[from + pixel]!
    }
  return { data: result, shape: [n, h, w, c] }
}

/** [N, H, W, C] -> [N, C, H, W] */
export function toChannelsFirst({ data, shape }: Values): Values {
  const [n = 1, h = 1, w = 1, c = 1] = shape
  const pixels = h * w
  const result = new Float32Array(data.length)
  for (let image = 0; image < n; image++)
    for (let channel = 0; channel < c; channel++) {
      const to = (image * c + channel) * pixels
      const from = image * pixels * c + channel
      for (let pixel = 0; pixel < pixels; pixel++) result[to + pixel] = data[from + pixel * c]!
    }
  return { data: result, shape: [n, c, h, w] }
}
