/** What is shown while weights are read. */
import { formatBytes } from '../base/units'
import { renderStorage } from '../pipeline/base-precision'
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

/** What storing weights in fewer bits did to them. */
export function storageNote(renderer: Renderer): NonNullable<RuntimeOptions['onStored']> {
  return (network, report) => {
    renderer.print(undefined, { event: 'stored', network, report })
    renderer.say(renderStorage(network, report))
  }
}
