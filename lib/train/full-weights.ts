/** Full training: the trained weights under the names and shapes of a checkpoint, read from the flat arena. */
import type { FileTensor, ParameterAccess } from '../adapters/adapter'
import { fromOhwi, toOhwi } from '../adapters/layout'
import type { ParameterSet } from '../graph/parameters'
import { elements } from '../graph/tensor'
import type { WeightPart, WeightRequest } from '../models/scope'

interface Placed {
  part: WeightPart
  offset: number
}

/** Every tensor of the checkpoint that is trained, and where it lies. */
function placedParts(set: ParameterSet, requests: Iterable<WeightRequest>): Placed[] {
  return [...requests].flatMap((request) => {
    const parameter = set.parameters.get(request.name)
    if (!parameter) return []
    let offset = parameter.offset
    return request.parts.map((part) => {
      const at = offset
      offset += elements(part.shape)
      return { part, offset: at }
    })
  })
}

const isConvolution = (shape: readonly number[]) => shape.length === 4 && shape.slice(2).some((extent) => extent > 1)

export function fullToFile(
  set: ParameterSet,
  requests: Iterable<WeightRequest>,
  access: Pick<ParameterAccess, 'read'>,
): FileTensor[] {
  return placedParts(set, requests).map(({ part: { tensor, shape }, offset }) => {
    const values = access.read(offset, elements(shape))
    return { name: tensor, shape, data: isConvolution(shape) ? fromOhwi(values, shape) : values }
  })
}

/** @returns the names that found no place */
export function fullFromFile(
  set: ParameterSet,
  requests: Iterable<WeightRequest>,
  tensors: ReadonlyMap<string, FileTensor>,
  access: ParameterAccess,
): string[] {
  const known = new Set<string>()
  for (const { part, offset } of placedParts(set, requests)) {
    const found = tensors.get(part.tensor)
    if (!found || found.data.length !== elements(part.shape)) continue
    access.write(offset, isConvolution(part.shape) ? toOhwi(found.data, part.shape) : found.data)
    known.add(part.tensor)
  }
  return [...tensors.keys()].filter((name) => !known.has(name))
}
