/**
 * What every graph must satisfy between passes: operands exist before they are used, shapes and dtypes are what the
 * shape rules say, every tensor is made once and no frozen weight is written. Turns a wrong picture after two hours
 * into one sentence naming the op.
 */
import { LorikeetError } from '../base/errors'
import type { Graph, Operation } from './graph'
import { opError } from './op'
import { elements, type Tensor } from './tensor'

/** @throws LorikeetError naming op, position and tensor */
export function verify(graph: Graph): void {
  const defined = new Set<Tensor>(graph.inputs.values())
  graph.ops.forEach((op, position) => {
    const fault = (problem: string) =>
      opError(op.definition.name, `${problem} (op ${position} of ${graph.label})`, op.inputs)
    for (const operand of op.inputs)
      if (operand?.storage.space === 'arena' && !defined.has(operand))
        throw fault(`reads ${operand.name} before it is made`)
    checkTypes(op, fault)
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

/** Outputs are what the shape rule says; one that goes into a buffer (a sum of gradients) has as many elements. */
function checkTypes(op: Operation, fault: (problem: string) => Error): void {
  if (!op.outputs.some(Boolean)) throw fault('makes nothing')
  inferTypes(op, fault).forEach((type, i) => {
    const made = op.outputs[i]
    if (!type) {
      if (made?.storage.space === 'arena') throw fault(`makes ${made.name}, which its shape rule does not know`)
      return
    }
    if (!made) throw fault(`lacks output ${i}`)
    const fits =
      made.storage.space === 'buffer'
        ? elements(made.shape) === elements(type.shape)
        : made.dtype === type.dtype && made.shape.join() === type.shape.join()
    if (!fits)
      throw fault(
        `output ${i} is [${made.shape.join(', ')}] ${made.dtype}, not [${type.shape.join(', ')}] ${type.dtype}`,
      )
  })
}

/** The op's own complaint about its operands, with its place in the graph. */
function inferTypes(op: Operation, fault: (problem: string) => Error) {
  try {
    return op.definition.infer(op.inputs, op.attributes)
  } catch (error) {
    throw fault(
      error instanceof LorikeetError ? error.message.replace(`op ${op.definition.name}: `, '') : String(error),
    )
  }
}
