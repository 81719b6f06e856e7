/**
 * Which weights of the base stay in the host's memory, to be fetched by a card for each use. Transfers run while the card
 * computes, so what is left on the card and what is not take turns over the whole network: each fetch has the time of the
 * layers before it. Only layers' matrices and filters: biases and norms are small, and of an embedding few rows are read.
 */
import { elements } from '../graph/tensor'
import type { NetworkName, WeightRequest } from '../models/scope'

/**
 * @param requests in the order in which the networks use them
 * @param share of the bytes of each network, from 0 to 1
 * @returns their names; the bytes are off the share by at most half of the largest weight
 */
export function weightsOnHost(requests: Iterable<WeightRequest>, share: number): Set<string> {
  const names = new Set<string>()
  const due = new Map<NetworkName, number>()
  for (const { name, network, shape, container } of requests) {
    if (container === undefined) continue
    const size = elements(shape)
    const owed = (due.get(network) ?? 0) + share * size
    const stays = share > 0 && owed >= size / 2
    if (stays) names.add(name)
    due.set(network, stays ? owed - size : owed)
  }
  return names
}
