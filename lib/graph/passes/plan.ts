/**
 * The memory plan as a pass: every intermediate gets an offset in one arena, so the peak is known to the byte before
 * anything is allocated. Offsets are chosen largest first, each at the lowest place that is free for its whole life
 * (greedy by size; Pisarchyk and Lee 2020, arXiv 2001.03288). The plan explains itself: the lower bound that no plan
 * can beat, the op at the peak and who is alive there.
 */
import type { Graph, Operation, Phase } from '../graph'
import type { Operand } from '../op'
import { bytesOf, type Tensor } from '../tensor'

/** Offsets are multiples of this, one cache line. */
export const arenaAlignment = 64

export interface PlannedTensor {
  tensor: Tensor
  offset: number
  bytes: number
  /**
   * Indices of the first and last op during which the bytes are taken; -1 before the first op, ops.length after the
   * last.
   */
  from: number
  to: number
}

export interface MemoryPlan {
  arenaBytes: number
  /** The most bytes alive at one op: no arena can be smaller. */
  lowerBound: number
  tensors: Map<Tensor, PlannedTensor>
  peak: { op: number; name: string; phase: Phase; alive: PlannedTensor[] }
}

/** A place in the arena, shared by tensors of which each takes over the bytes of the one before (in-place ops). */
interface Slot {
  tensors: Tensor[]
  bytes: number
  from: number
  to: number
  offset: number
}

export function planMemory(graph: Graph): MemoryPlan {
  const slots = findSlots(graph)
  const arenaBytes = place(slots)
  const tensors = new Map<Tensor, PlannedTensor>()
  for (const slot of slots)
    for (const tensor of slot.tensors)
      tensors.set(tensor, { tensor, offset: slot.offset, bytes: slot.bytes, from: slot.from, to: slot.to })
  return { arenaBytes, tensors, ...findPeak(graph, slots) }
}

const isArena = (operand: Operand): operand is Tensor => operand?.storage.space === 'arena'

function lastUses(graph: Graph): Map<Tensor, number> {
  const last = new Map<Tensor, number>()
  graph.ops.forEach((op, i) => {
    for (const operand of [...op.inputs, ...op.outputs]) if (isArena(operand)) last.set(operand, i)
  })
  for (const tensor of graph.outputs.values()) last.set(tensor, graph.ops.length)
  return last
}

/** Lifetimes, with in-place ops joined into one slot. */
function findSlots(graph: Graph): Slot[] {
  const last = lastUses(graph)
  const inputs = new Set(graph.inputs.values())
  const slotOf = new Map<Tensor, Slot>()
  const slots: Slot[] = []
  const open = (tensor: Tensor, from: number) => {
    const slot: Slot = {
      tensors: [tensor],
      bytes: align(bytesOf(tensor)),
      from,
      to: last.get(tensor) ?? from,
      offset: 0,
    }
    slots.push(slot)
    slotOf.set(tensor, slot)
  }
  for (const tensor of inputs) open(tensor, -1)
  graph.ops.forEach((op, i) => {
    op.outputs.forEach((output, j) => {
      if (!isArena(output) || slotOf.has(output)) return
      const host = inPlaceHost(op, j, output, i, last, inputs)
      const slot = host && slotOf.get(host)
      if (!slot) return open(output, i)
      slot.tensors.push(output)
      slot.to = Math.max(slot.to, last.get(output) ?? i)
      slotOf.set(output, slot)
    })
  })
  return slots
}

/** The input whose bytes the output may take: the op allows it, nobody reads it later, and the sizes are the same. */
function inPlaceHost(
  op: Operation,
  output: number,
  tensor: Tensor,
  index: number,
  last: ReadonlyMap<Tensor, number>,
  graphInputs: ReadonlySet<Tensor>,
): Operand {
  const rule = op.definition.inPlace?.find((candidate) => {
    const host = op.inputs[candidate.input]
    return (
      candidate.output === output &&
      isArena(host) &&
      last.get(host) === index &&
      !graphInputs.has(host) &&
      host.dtype === tensor.dtype &&
      bytesOf(host) === bytesOf(tensor) &&
      op.inputs.filter((operand) => operand === host).length === 1
    )
  })
  return rule && op.inputs[rule.input]
}

function align(bytes: number): number {
  return Math.ceil(bytes / arenaAlignment) * arenaAlignment
}

function place(slots: readonly Slot[]): number {
  const placed: Slot[] = [] // by offset
  let end = 0
  for (const slot of [...slots].sort((a, b) => b.bytes - a.bytes || a.from - b.from)) {
    let offset = 0
    for (const other of placed) {
      if (other.to < slot.from || other.from > slot.to) continue
      if (other.offset - offset >= slot.bytes) break
      offset = Math.max(offset, other.offset + other.bytes)
    }
    slot.offset = offset
    end = Math.max(end, offset + slot.bytes)
    placed.splice(insertionPoint(placed, offset), 0, slot)
  }
  return end
}

function insertionPoint(placed: readonly Slot[], offset: number): number {
  let low = 0
  let high = placed.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((placed[middle]?.offset ?? 0) <= offset) low = middle + 1
    else high = middle
  }
  return low
}

function findPeak(graph: Graph, slots: readonly Slot[]): Pick<MemoryPlan, 'lowerBound' | 'peak'> {
  const change = new Array<number>(graph.ops.length + 3).fill(0) // index 0 is before the first op
  for (const slot of slots) {
    change[slot.from + 1]! += slot.bytes
    change[slot.to + 2]! -= slot.bytes
  }
  let alive = 0
  let lowerBound = 0
  let op = 0
  change.forEach((delta, i) => {
    alive += delta
    if (alive > lowerBound) {
      lowerBound = alive
      op = i - 1
    }
  })
  const at = graph.ops[Math.min(Math.max(op, 0), graph.ops.length - 1)]
  const living = slots
    .filter((slot) => slot.from <= op && slot.to >= op)
    .map((slot) => ({ tensor: slot.tensors[0]!, offset: slot.offset, bytes: slot.bytes, from: slot.from, to: slot.to }))
    .sort((a, b) => b.bytes - a.bytes)
  return { lowerBound, peak: { op, name: at?.definition.name ?? '', phase: at?.phase ?? 'forward', alive: living } }
}
