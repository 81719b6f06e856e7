/**
 * What every graph must satisfy between passes: operands exist before they are used, shapes and dtypes are what the shape
 * rules say, gradients go where they belong. Turns a wrong picture after two hours into one sentence naming the op.
 */
import type { Graph } from './graph'
import { opError } from './op'
import type { Tensor } from './tensor'

/** @throws LorikeetError naming op, position and tensor */
export function verify(graph: Graph): void {
  const defined = new Set<Tensor>(graph.inputs.values())
  graph.ops.forEach((op, position) => {
    const fault = (problem: string) => opError(op.definition.name, `${problem} (op ${position} of ${graph.label})`, op.inputs)
    for (const operand of op.inputs)
      if (operand?.storage.space === 'arena' && !defined.has(operand)) throw fault(`reads ${operand.name} before it is made`)
    op.definition.infer(op.inputs, op.attributes).forEach((type, i) => {
      const made = op.outputs[i]
      if (!type || made?.storage.space === 'buffer') return
      if (!made) throw fault(`lacks output ${i}`)
      if (made.dtype !== type.dtype || made.shape.join() !== type.shape.join())
        throw fault(`output ${i} is [${made.shape.join(', ')}] ${made.dtype}, not [${type.shape.join(', ')}] ${type.dtype}`)
    })
    for (const output of op.outputs) {
      if (output?.storage.space === 'weight') throw fault(`writes the frozen weight ${output.storage.name}`)
      if (output?.storage.space !== 'arena') continue
      if (defined.has(output)) throw fault(`writes ${output.name} a second time`)
      defined.add(output)
    }
  })
  for (const [name, tensor] of graph.outputs)
    if (tensor.storage.space === 'arena' && !defined.has(tensor))
      throw opError('output', `the output ${name} of ${graph.label} is never made`, [tensor])
}
