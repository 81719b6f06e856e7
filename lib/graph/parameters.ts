/**
 * Trainable parameters: one flat f32 arena of masters (`params`), a second of the same layout for gradients (`grads`),
 * and, in bf16, a bf16 copy (`shadow`) that the matrices are read from. The optimizer keeps its state in buffers beside
 * them, most of the same layout. The layout is shared by all programs of a run, so it is built once and grows only
 * while the first graph is being built.
 */
import { LorikeetError } from '../base/errors'
import { createTensor } from './graph'
import { bytesOf, elements, type ComputeDType, type Tensor } from './tensor'

/** How a parameter starts when no file gives it. */
export type Initializer =
  | { kind: 'zeros' }
  | { kind: 'ones' }
  | { kind: 'normal'; std: number }
  /** U(-bound, bound). Kaiming-uniform with a = sqrt(5) is bound = 1/sqrt(fan in) (torch nn.Linear, nn.Conv2d). */
  | { kind: 'uniform'; bound: number }

export interface Parameter {
  name: string
  shape: readonly number[]
  /** In elements of the flat arena. */
  offset: number
  /** The learning-rate group, e.g. `unet` or `text_encoder`. */
  group: string
  init: Initializer
  /** Vectors (biases, norms) are read as f32 masters; matrices in the compute dtype. */
  precision: 'compute' | 'f32'
}

export interface ParameterSet {
  readonly dtype: ComputeDType
  readonly parameters: Map<string, Parameter>
  /** Length of the flat arena. */
  elements: number
}

/** Every parameter starts at a multiple of 64 bytes in f32. The padding stays zero in every buffer. */
const alignment = 16

export function createParameterSet(dtype: ComputeDType): ParameterSet {
  return { dtype, parameters: new Map(), elements: 0 }
}

/** The parameter of that name, added when it is new. Asking again with another shape is an error. */
export function parameter(
  set: ParameterSet,
  name: string,
  shape: readonly number[],
  options: { group: string; init: Initializer; precision?: Parameter['precision'] },
): Tensor {
  const existing = set.parameters.get(name)
  if (existing && existing.shape.join() !== shape.join())
    throw new LorikeetError('failed', 'is asked for with two shapes', {
      where: `parameter ${name}`,
      expected: `[${existing.shape.join(', ')}]`,
      received: `[${shape.join(', ')}]`,
    })
  const entry = existing ?? add(set, name, shape, options)
  const shadowed = set.dtype === 'bf16' && entry.precision === 'compute'
  const gradient = { buffer: 'grads', offset: entry.offset * 4 }
  return shadowed
    ? createTensor(name, shape, 'bf16', { space: 'buffer', name: 'shadow', offset: entry.offset * 2 }, gradient)
    : createTensor(name, shape, 'f32', { space: 'buffer', name: 'params', offset: entry.offset * 4 }, gradient)
}

function add(
  set: ParameterSet,
  name: string,
  shape: readonly number[],
  { group, init, precision = 'compute' }: { group: string; init: Initializer; precision?: Parameter['precision'] },
): Parameter {
  const entry: Parameter = { name, shape: [...shape], offset: set.elements, group, init, precision }
  set.parameters.set(name, entry)
  set.elements += Math.ceil(elements(shape) / alignment) * alignment
  return entry
}

/** A whole flat buffer as a tensor of one dimension. */
export function flatBuffer(set: ParameterSet, name: string): Tensor {
  const dtype = name === 'shadow' ? 'bf16' : 'f32'
  return createTensor(name, [set.elements], dtype, { space: 'buffer', name, offset: 0 })
}

/** A buffer that training keeps from update to update besides the parameters, and a checkpoint holds. */
export interface StateBuffer {
  name: string
  /** i32 where it holds anything but f32 values: words, whose meaning only the op knows. */
  dtype: 'f32' | 'i32'
  shape: readonly number[]
}

/** State with a value for each element of the arena. */
export function flatState(set: ParameterSet, name: string): StateBuffer {
  return { name, dtype: 'f32', shape: [set.elements] }
}

export function stateTensor({ name, dtype, shape }: StateBuffer): Tensor {
  return createTensor(name, shape, dtype, { space: 'buffer', name, offset: 0 })
}

/** Bytes of each buffer that training with this state needs. */
export function bufferBytes(set: ParameterSet, states: readonly StateBuffer[]): Map<string, number> {
  const bytes = new Map<string, number>([
    ['params', set.elements * 4],
    ['grads', set.elements * 4],
  ])
  for (const state of states) bytes.set(state.name, bytesOf(state))
  if (set.dtype === 'bf16') bytes.set('shadow', set.elements * 2)
  return bytes
}
