/** How the parts of a weight are read: from a checkpoint's file, or fresh from the seeded initialisation. */
import { LorikeetError } from '../base/errors'
import type { WeightLocation } from '../formats/checkpoint'
import { fileSource } from '../formats/weight-source'
import type { Initializer } from '../graph/parameters'
import { elements } from '../graph/tensor'
import type { WeightRequest } from '../models/scope'
import type { WeightSource, WeightSpec } from '../native'
import { storageOf, type BasePrecision } from './base-precision'

/** Fresh values; every weight has a stream of its own. */
export function freshSource(init: Initializer, shape: readonly number[], seed: number, stream: number): WeightSource {
  const common = { shape: [...shape] }
  switch (init.kind) {
    case 'zeros':
      return { kind: 'constant', value: 0, ...common }
    case 'ones':
      return { kind: 'constant', value: 1, ...common }
    case 'normal':
      return { kind: 'normal', seed, stream, std: init.std, ...common }
    case 'uniform':
      return { kind: 'uniform', seed, stream, bound: init.bound, ...common }
  }
}

/** The stream of a weight's fresh values: by its name (FNV-1a), so that the order of loading does not matter. */
export function streamOf(name: string): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash >>> 0
}

export interface SpecOptions {
  dtype: 'f32' | 'bf16'
  /** Of fresh weights. */
  seed: number
  basePrecision?: BasePrecision
  /** Names of the weights that stay with the host. */
  onHost?: ReadonlySet<string>
}

/**
 * @param tensors of the network's checkpoint; undefined for fresh weights from `seed`
 * @throws LorikeetError (input) when a tensor is missing or has another size, naming it
 */
export function weightSpec(
  request: WeightRequest,
  tensors: ReadonlyMap<string, WeightLocation> | undefined,
  { dtype, seed, basePrecision = 'full', onHost }: SpecOptions,
): WeightSpec {
  const { name, shape, precision, init } = request
  const sources = tensors
    ? request.parts.map((part) => fileSource(locate(request, part, tensors)))
    : [freshSource(init, shape, seed, streamOf(name))]
  const storage = storageOf(request, basePrecision)
  return { name, dtype: precision === 'f32' ? 'f32' : dtype, shape: [...shape], sources, ...(storage !== 'plain' && { storage }), ...(onHost?.has(name) && { onHost: true }) }
}

function locate(
  request: WeightRequest,
  { tensor, shape }: WeightRequest['parts'][number],
  tensors: ReadonlyMap<string, WeightLocation>,
): WeightLocation {
  const found = tensors.get(tensor)
  const where = found?.file ?? [...tensors.values()][0]?.file ?? request.network
  if (!found) throw new LorikeetError('input', `the ${request.network} has no tensor ${tensor}`, { where })
  const squeezed = (extents: readonly number[]) => extents.filter((extent) => extent !== 1).join()
  if (elements(found.shape) !== elements(shape) || squeezed(found.shape) !== squeezed(shape))
    throw new LorikeetError('input', `the tensor ${tensor} of the ${request.network} has another shape`, {
      where,
      expected: `[${shape.join(', ')}]`,
      received: `[${found.shape.join(', ')}]`,
      fix: 'The model is damaged or of another architecture',
    })
  return found
}
