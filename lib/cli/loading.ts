/** The bar while weights are read. */
import { formatBytes } from '../base/units'
import type { RuntimeOptions } from '../pipeline/runtime'
import type { Bar, Renderer } from './render'

export function loadingBar(renderer: Renderer): NonNullable<RuntimeOptions['onProgress']> {
  let bar: Bar | undefined
  return ({ network, done, total }) => {
    bar ??= renderer.bar(`Loading ${network}`, total)
    bar.update(done, formatBytes(done))
    if (done < total) return
    bar.end()
    bar = undefined
  }
}
