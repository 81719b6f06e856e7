/** Fills a buffer with zeros: gradients before the first micro-step of an update. */
import { emit, type Graph } from '../graph'
import { defineOp } from '../op'
import type { Tensor } from '../tensor'

export const clearOp = defineOp({ name: 'clear', infer: () => [undefined] })

export function clear(graph: Graph, buffer: Tensor): void {
  emit(graph, clearOp, [], {}, buffer.name, [buffer])
}
