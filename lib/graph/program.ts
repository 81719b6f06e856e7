/**
 * The program: the flat, versioned result of all passes, and the whole contract with the addon (native/core/program.h;
 * `formatVersion` changes whenever either does).
 */
import type { Graph } from './graph'
import type { MemoryPlan } from './passes/plan'
import { LorikeetError } from '../base/errors'
import type { Attributes, Operand } from './op'
import type { DType, Tensor } from './tensor'

export const formatVersion = 1

export interface ProgramTensor {
  dtype: DType
  shape: number[]
  space: 'arena' | 'weight' | 'buffer'
  /** Bytes, for arena and buffer. */
  offset: number
  name: string
}

export interface Instruction {
  op: string
  /** Indices into `tensors`; -1 where an optional operand is absent. */
  inputs: number[]
  outputs: number[]
  attributes: Attributes
}

export interface Program {
  version: number
  label: string
  arenaBytes: number
  tensors: ProgramTensor[]
  instructions: Instruction[]
  inputs: { name: string; tensor: number }[]
  outputs: { name: string; tensor: number }[]
}

/** @param plan of the same graph */
export function createProgram(graph: Graph, plan: MemoryPlan): Program {
  const tensors: ProgramTensor[] = []
  const indices = new Map<Tensor, number>()
  const index = (operand: Operand): number => {
    if (!operand) return -1
    const known = indices.get(operand)
    if (known !== undefined) return known
    indices.set(operand, tensors.length)
    tensors.push(locate(operand, plan))
    return tensors.length - 1
  }
  const ports = (map: ReadonlyMap<string, Tensor>) =>
    [...map].map(([name, tensor]) => ({ name, tensor: index(tensor) }))
  const inputs = ports(graph.inputs)
  const instructions = graph.ops.map((op) => ({
    op: op.definition.name,
    inputs: op.inputs.map(index),
    outputs: op.outputs.map(index),
    attributes: op.attributes,
  }))
  return {
    version: formatVersion,
    label: graph.label,
    arenaBytes: plan.arenaBytes,
    tensors,
    instructions,
    inputs,
    outputs: ports(graph.outputs),
  }
}

function locate(tensor: Tensor, plan: MemoryPlan): ProgramTensor {
  const { storage, dtype, shape, name } = tensor
  const common = { dtype, shape: [...shape] }
  if (storage.space === 'weight') return { ...common, space: 'weight', offset: 0, name: storage.name }
  if (storage.space === 'buffer') return { ...common, space: 'buffer', offset: storage.offset, name: storage.name }
  const planned = plan.tensors.get(tensor)
  if (!planned) throw new LorikeetError('failed', 'has no place in the memory plan', { where: `tensor ${name}` })
  return { ...common, space: 'arena', offset: planned.offset, name }
}
