/**
 * The residual block that UNet and VAE share (diffusers models/resnet.py, ResnetBlock2D): norm, SiLU, conv, + time, norm,
 * SiLU, conv, + shortcut.
 */
import { add } from '../graph/ops/add'
import { columns, type Tensor } from '../graph/tensor'
import { block, conv, groupNorm, linear } from './layers'
import type { Scope } from './scope'

export interface ResnetOptions {
  path: string
  outputs: number
  groups: number
  eps: number
  /** SiLU of the time embedding, [N, T]; the VAE has none. */
  time?: Tensor | undefined
}

/** x [N, H, W, C] -> [N, H, W, outputs] */
export function resnetBlock(scope: Scope, x: Tensor, { path, outputs, groups, eps, time }: ResnetOptions): Tensor {
  return block(scope, path, () => {
    const norm = { groups, eps, activation: 'silu' as const }
    const container = 'resnet' as const
    const first = groupNorm(scope, x, `${path}.norm1`, norm)
    const hidden = conv(scope, first, { path: `${path}.conv1`, outputs, container })
    const shift = time && linear(scope, time, { path: `${path}.time_emb_proj`, outputs, bias: true, container })
    const second = groupNorm(scope, hidden, `${path}.norm2`, { ...norm, shift })
    const residual = conv(scope, second, { path: `${path}.conv2`, outputs, container })
    const shortcut =
      columns(x) === outputs ? x : conv(scope, x, { path: `${path}.conv_shortcut`, outputs, kernel: 1, container })
    return add(scope.graph, shortcut, residual, path)
  })
}
