/** Checking that a model has every tensor that its topology demands, with the dimensions that fit together. */
import { LorikeetError } from '../base/errors'
import type { Checkpoint, CheckpointComponent, Component } from './checkpoint'
import {
  clipTensorNames,
  clipTopology,
  unetTensorNames,
  unetTopology,
  vaeTensorNames,
  vaeTopology,
} from './keymaps/topology'

const titles: Record<Component, string> = { unet: 'UNet', vae: 'autoencoder (VAE)', textEncoder: 'text encoder' }

/**
 * @throws LorikeetError (input) that names the first missing tensors and their count. Tensors that are not needed are
 *   moved from the components to `ignored`
 */
export function checkComplete(checkpoint: Checkpoint): void {
  for (const component of ['unet', 'vae', 'textEncoder'] as const) {
    const { tensors } = checkpoint.components[component]
    const expected = expectedNames(component, checkpoint.components[component])
    const missing = expected.filter(name => !tensors.has(name))
    if (tensors.size === 0 || missing.length === expected.length) {
      throw new LorikeetError('input', `the model has no ${titles[component]}`, {
        where: checkpoint.path,
        expected: 'a complete Stable Diffusion 1.x model: UNet, autoencoder (VAE) and text encoder',
        fix: 'Give the full checkpoint that this file was made from',
      })
    }
    if (missing.length > 0) {
      const first = missing.slice(0, 3).join(', ')
      const more = missing.length > 3 ? ` and ${missing.length - 3} more` : ''
      throw new LorikeetError('input', `the ${titles[component]} lacks ${missing.length} tensors: ${first}${more}`, {
        where: checkpoint.path,
        fix: 'The model is incomplete or of another kind: fetch it again, or give a Stable Diffusion 1.x model',
      })
    }
    const wanted = new Set(expected)
    for (const name of tensors.keys()) {
      if (wanted.has(name)) continue
      tensors.delete(name)
      checkpoint.ignored.push(name)
    }
  }
}

function expectedNames(component: Component, { tensors }: CheckpointComponent): string[] {
  const shortcut = (resnet: string) => {
    const shape = tensors.get(`${resnet}.conv1.weight`)?.shape
    return shape !== undefined && shape[0] !== shape[1]
  }
  if (component === 'unet') return unetTensorNames(unetTopology(tensors.keys()), shortcut)
  if (component === 'vae') return vaeTensorNames(vaeTopology(tensors.keys()), shortcut)
  return clipTensorNames(clipTopology(tensors.keys()))
}
