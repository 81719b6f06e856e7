/**
 * The graph: ops in the order in which they will run, over typed tensors. A model adds ops; each pass in `passes/`
 * takes a graph and returns one. Nothing here depends on what the ops compute.
 */
import type { Attributes, Operand, OpDefinition } from './op'
import { opError } from './op'
import type { ComputeDType, DType, Storage, Tensor } from './tensor'

export type Phase = 'forward' | 'backward' | 'update'

export interface Operation {
  readonly definition: OpDefinition
  readonly inputs: readonly Operand[]
  readonly outputs: readonly Operand[]
  readonly attributes: Attributes
  readonly phase: Phase
  /** The block this op belongs to, innermost name; checkpointing keeps or recomputes whole blocks. */
  readonly block?: string
}

export interface Graph {
  readonly label: string
  readonly dtype: ComputeDType
  ops: Operation[]
  /** Filled by the caller before each run, by name. */
  inputs: Map<string, Tensor>
  /** Copied out after each run, by name. */
  outputs: Map<string, Tensor>
  /** Where the builder is: the phase and the block of the ops that it adds. */
  phase: Phase
  block: string | undefined
}

export function createGraph(label: string, dtype: ComputeDType): Graph {
  return { label, dtype, ops: [], inputs: new Map(), outputs: new Map(), phase: 'forward', block: undefined }
}

/** A graph with the same inputs and outputs and other ops: what a pass returns. */
export function withOps(graph: Graph, ops: Operation[]): Graph {
  return { ...graph, ops, inputs: new Map(graph.inputs), outputs: new Map(graph.outputs) }
}

let nextId = 0

export function createTensor(
  name: string,
  shape: readonly number[],
  dtype: DType,
  storage: Storage = { space: 'arena' },
  gradient?: Tensor['gradient'],
): Tensor {
  if (shape.some((extent) => !Number.isSafeInteger(extent) || extent < 1))
    throw opError('tensor', `${name} has the impossible shape [${shape.join(', ')}]`)
  return { id: nextId++, name, shape: [...shape], dtype, storage, ...(gradient && { gradient }) }
}

/** A value that the caller gives before each run. */
export function input(graph: Graph, name: string, shape: readonly number[], dtype: DType = 'f32'): Tensor {
  if (graph.inputs.has(name)) throw opError('input', `there are two inputs named ${name}`)
  const tensor = createTensor(name, shape, dtype)
  graph.inputs.set(name, tensor)
  return tensor
}

/** Marks a tensor as copied out after each run. */
export function output(graph: Graph, name: string, tensor: Tensor): void {
  if (graph.outputs.has(name)) throw opError('output', `there are two outputs named ${name}`)
  graph.outputs.set(name, tensor)
}

/**
 * Adds an op and returns its outputs.
 * @param into given outputs (buffers that the op updates or accumulates into) instead of new arena tensors, by index
 */
export function emit(
  graph: Graph,
  definition: OpDefinition,
  inputs: readonly Operand[],
  attributes: Attributes = {},
  name: string = definition.name,
  into: readonly Operand[] = [],
): Operand[] {
  const types = definition.infer(inputs, attributes)
  const outputs = types.map((type, i) => {
    const given = into[i]
    if (given) return given
    if (!type) return undefined
    return createTensor(types.length === 1 ? name : `${name}#${i}`, type.shape, type.dtype)
  })
  for (let i = outputs.length; i < into.length; i++) outputs.push(into[i])
  graph.ops.push({
    definition,
    inputs: [...inputs],
    outputs,
    attributes,
    phase: graph.phase,
    ...(graph.block !== undefined && { block: graph.block }),
  })
  return outputs
}

/** `emit` for ops with exactly one output. */
export function emitOne(
  graph: Graph,
  definition: OpDefinition,
  inputs: readonly Operand[],
  attributes: Attributes = {},
  name: string = definition.name,
  into: readonly Operand[] = [],
): Tensor {
  const [tensor] = emit(graph, definition, inputs, attributes, name, into)
  if (!tensor) throw opError(definition.name, 'gave no output', inputs)
  return tensor
}

/** Adds the ops of `body` as one named block: the unit that checkpointing keeps or recomputes. Blocks do not nest. */
export function inBlock<T>(graph: Graph, name: string, body: () => T): T {
  const outer = graph.block
  graph.block = outer ?? name
  try {
    return body()
  } finally {
    graph.block = outer
  }
}
