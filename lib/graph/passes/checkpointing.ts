/**
 * Gradient checkpointing as a pass (Chen et al. 2016, arXiv 1604.06174), per block: the activations of a recomputed
 * block that only backward needs are not kept; the ops that made them run again right before their first use in
 * backward. The same ops on the same inputs: results keep every bit.
 */
import { createTensor, withOps, type Graph, type Operation } from '../graph'
import type { Operand } from '../op'
import { bytesOf, type Tensor } from '../tensor'

export type KeepOrRecompute = 'keep' | 'recompute'

/** The blocks of a graph in forward order. */
export function blocksOf(graph: Graph): string[] {
  return [...new Set(graph.ops.flatMap((op) => (op.phase === 'forward' && op.block !== undefined ? [op.block] : [])))]
}

/** @param decide for each block of the graph */
export function checkpoint(graph: Graph, decide: (block: string) => KeepOrRecompute): Graph {
  return blocksOf(graph)
    .filter((block) => decide(block) === 'recompute')
    .reduce((current, block) => recomputeBlock(current, block), graph)
}

function recomputeBlock(graph: Graph, block: string): Graph {
  const inside = (op: Operation) => op.phase === 'forward' && op.block === block
  const made = new Map<Tensor, Operation>()
  for (const op of graph.ops)
    if (inside(op)) for (const output of op.outputs) if (output?.storage.space === 'arena') made.set(output, op)

  // What others in forward read, or the caller gets, lives on anyway.
  const kept = new Set<Operand>(graph.outputs.values())
  for (const op of graph.ops)
    if (op.phase === 'forward' && !inside(op)) for (const operand of op.inputs) kept.add(operand)

  const wanted = new Set(
    graph.ops.flatMap((op) => (op.phase === 'forward' ? [] : op.inputs.filter((t) => t && made.has(t)))),
  )
  const again = chooseAgain(wanted, made, kept)
  const first = graph.ops.findIndex(
    (op) => op.phase !== 'forward' && op.inputs.some((t) => wanted.has(t) && !kept.has(t)),
  )
  if (first < 0) return graph

  const replacement = new Map<Tensor, Tensor>()
  const clones = graph.ops.filter((op) => again.has(op)).map((op) => clone(op, replacement, kept))
  const rest = graph.ops
    .slice(first)
    .map((op) => (op.phase === 'forward' ? op : { ...op, inputs: replace(op.inputs, replacement, kept) }))
  return withOps(graph, [...graph.ops.slice(0, first), ...clones, ...rest])
}

/**
 * The ops that make the wanted tensors from what is kept. An op that would run again for a by-product alone (the h of
 * an adapter, the statistics of a norm) does not: its by-products are added to what is kept, if they are small.
 */
function chooseAgain(
  wanted: ReadonlySet<Operand>,
  made: ReadonlyMap<Tensor, Operation>,
  kept: Set<Operand>,
): Set<Operation> {
  for (;;) {
    const again = new Set<Operation>()
    const visit = (tensor: Operand) => {
      const op = tensor && !kept.has(tensor) ? made.get(tensor) : undefined
      if (!op || again.has(op)) return
      again.add(op)
      op.inputs.forEach(visit)
    }
    wanted.forEach(visit)
    const read = new Set([...wanted, ...[...again].flatMap((op) => op.inputs)])
    const idle = [...again].find(
      ({ outputs: [main, ...others] }) => !read.has(main) && bytes(others) * 2 <= bytes([main]),
    )
    if (!idle) return again
    for (const output of idle.outputs.slice(1)) kept.add(output)
  }
}

const bytes = (operands: readonly Operand[]) =>
  operands.reduce((sum, tensor) => sum + (tensor ? bytesOf(tensor) : 0), 0)

/** The op once more, in backward, on fresh outputs. */
function clone(op: Operation, replacement: Map<Tensor, Tensor>, kept: ReadonlySet<Operand>): Operation {
  const inputs = replace(op.inputs, replacement, kept)
  const outputs = op.outputs.map((output) => {
    if (!output) return undefined
    const fresh = createTensor(output.name, output.shape, output.dtype)
    replacement.set(output, fresh)
    return fresh
  })
  return { ...op, inputs, outputs, phase: 'backward' }
}

function replace(
  operands: readonly Operand[],
  replacement: ReadonlyMap<Tensor, Tensor>,
  kept: ReadonlySet<Operand>,
): Operand[] {
  return operands.map((operand) => (operand && !kept.has(operand) ? (replacement.get(operand) ?? operand) : operand))
}
