/** What a device makes of the frozen weights of a base: how they are stored, where they lie, and the memory that takes. */
import { elements, type ComputeDType } from '../graph/tensor'
import type { WeightRequest } from '../models/scope'
import type { BaseModel } from './base-model'
import { weightsOnHost } from './base-offload'
import { heldPrecision, roundedBytes, storageOf, storedBytes, type BasePrecision } from './base-precision'
import type { Device } from './device'
import { surveyNetworks } from './networks'

export interface BaseOptions {
  /** How the frozen matrices are stored; in full unless told. */
  basePrecision?: BasePrecision
  /** Share of the layers' weights that a card leaves in the host's memory, 0 to 1; none unless told. */
  baseOffload?: number
}

export interface HeldBase {
  precision: BasePrecision
  /** Names of the weights that a card fetches for each use. */
  onHost: ReadonlySet<string>
}

/** A device that shares the host's memory holds everything there, in full: nothing is opened or fetched. */
export function heldBase(
  base: Pick<BaseModel, 'config'>,
  device: Pick<Device, 'memoryBudget'>,
  { basePrecision = 'full', baseOffload = 0 }: BaseOptions,
): HeldBase {
  const offloads = device.memoryBudget !== undefined && baseOffload > 0
  return {
    precision: heldPrecision(device, basePrecision),
    onHost: offloads ? weightsOnHost(surveyNetworks(base.config).requests, baseOffload) : new Set(),
  }
}

export interface WeightMemory {
  /** In the device's memory. */
  weights: number
  /** In the host's, of weights that a card fetches. */
  host: number
  /** The card's room for weights that are fetched, or opened there one at a time. */
  staging: number
}

/**
 * Exact bytes, as the engine takes them (cuda/residency.cu: a ring for three of the largest that travel).
 * @param opened names of the weights that are read as plain values (opened.ts)
 */
export function weightMemory(
  requests: Iterable<WeightRequest>,
  opened: ReadonlySet<string>,
  { dtype, held }: { dtype: ComputeDType; held: HeldBase },
): WeightMemory {
  let weights = 0
  let host = 0
  let block = 0
  let travelling = 0
  for (const request of requests) {
    const plain = elements(request.shape) * (request.precision === 'f32' || dtype === 'f32' ? 4 : 2)
    const storage = storageOf(request, held.precision)
    const stored = storage === 'plain' ? plain : storedBytes(storage, request.shape)
    if (storage !== 'plain' && opened.has(request.name)) block = Math.max(block, roundedBytes(plain))
    if (held.onHost.has(request.name)) {
      host += stored
      travelling = Math.max(travelling, roundedBytes(stored))
    } else weights += stored
  }
  return { weights, host, staging: 3 * travelling + block }
}
