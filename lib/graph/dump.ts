/** A graph as text, one op a line: for reading, for goldens and for error reports. */
import type { Graph } from './graph'
import type { MemoryPlan } from './passes/plan'
import { bytesOf, type Tensor } from './tensor'
import { formatBytes } from '../base/units'

/** @param plan when given, each output is followed by its offset in the arena */
export function dumpGraph(graph: Graph, plan?: MemoryPlan): string {
  const names = new Map<Tensor, string>()
  let count = 0
  const label = (tensor: Tensor | undefined): string => {
    if (!tensor) return '-'
    const known = names.get(tensor)
    if (known) return known
    const text =
      tensor.storage.space === 'arena' ? `%${count++}:${tensor.name}` : `${tensor.storage.space}:${tensor.name}`
    names.set(tensor, text)
    return text
  }
  const typed = (tensor: Tensor | undefined): string => {
    if (!tensor) return '-'
    const planned = plan?.tensors.get(tensor)
    const place = planned ? ` @${planned.offset}` : ''
    return `${label(tensor)} [${tensor.shape.join(',')}] ${tensor.dtype} ${formatBytes(bytesOf(tensor))}${place}`
  }
  const lines = [`graph ${graph.label} (${graph.dtype})`]
  for (const [name, tensor] of graph.inputs) lines.push(`  input ${name}: ${typed(tensor)}`)
  for (const op of graph.ops) {
    const attributes = Object.entries(op.attributes).map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    const block = op.block === undefined ? '' : ` # ${op.block}`
    const call = `${op.definition.name}(${[...op.inputs.map(label), ...attributes].join(', ')})`
    lines.push(`  ${op.phase} ${op.outputs.map(typed).join(', ')} = ${call}${block}`)
  }
  for (const [name, tensor] of graph.outputs) lines.push(`  output ${name}: ${label(tensor)}`)
  return lines.join('\n') + '\n'
}
