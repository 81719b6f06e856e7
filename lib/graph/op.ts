/**
 * What an op is: one record per file in `ops/`, holding its shape rule, its gradient rule and its cost, so that the
 * three stay consistent on one screen. Names, operands and attributes are the program's (native/core/program.h).
 */
import { LorikeetError } from '../base/errors'
import type { Graph, Operation } from './graph'
import { describe, type DType, type Tensor } from './tensor'

export type AttributeValue = number | string | readonly number[]
export type Attributes = Readonly<Record<string, AttributeValue>>
export type Operand = Tensor | undefined

/** Shape and dtype of an output. */
export interface OutputType {
  shape: readonly number[]
  dtype: DType
}

export interface Cost {
  /** Multiply-adds count as two. */
  flops: number
  /** Bytes read and written once each: the floor, not what a kernel really moves. */
  bytes: number
}

/** What a gradient rule may look at. It emits ops into `graph` and returns one gradient per input (or undefined). */
export interface GradientContext {
  graph: Graph
  operation: Operation
  /** Gradients of the outputs; undefined where nothing flows back. */
  dOutputs: readonly Operand[]
  /** d(total)/d(output i) for outputs that are losses; undefined for others. */
  seed(output: number): number | undefined
  /** Whether anyone wants the gradient of input i. */
  needs(input: number): boolean
  /** The buffer in which the gradient of a trainable input accumulates; undefined when input i is not trainable. */
  accumulator(input: number): Tensor | undefined
}

export interface OpDefinition {
  name: string
  /** Throws LorikeetError naming op and shapes. One entry per output, undefined where an output is absent. */
  infer(inputs: readonly Operand[], attributes: Attributes): (OutputType | undefined)[]
  /** Absent: no gradient flows through this op, and asking for one is an error. */
  gradient?(context: GradientContext): Operand[]
  /** Flops beyond one per output element; bytes are always operands once. */
  flops?(inputs: readonly Operand[], outputs: readonly Operand[], attributes: Attributes): number
  /** Output j may take the bytes of input i when nobody reads the input afterwards. */
  inPlace?: readonly { input: number; output: number }[]
}

export function defineOp(definition: OpDefinition): OpDefinition {
  return definition
}

/** A shape, dtype or attribute that the op does not take: a mistake of the model or adapter that emitted it. */
export function opError(op: string, problem: string, operands: readonly Operand[] = []): LorikeetError {
  const list = operands.map(describe).join('; ')
  return new LorikeetError('failed', list ? `${problem} (${list})` : problem, { where: `op ${op}` })
}

export function required(op: string, inputs: readonly Operand[], index: number, name: string): Tensor {
  const tensor = inputs[index]
  if (!tensor) throw opError(op, `operand ${index} (${name}) is missing`, inputs)
  return tensor
}

export function checkShape(op: string, tensor: Tensor, shape: readonly number[], name: string): void {
  if (tensor.shape.length !== shape.length || tensor.shape.some((extent, i) => extent !== shape[i]))
    throw opError(op, `${name} must be [${shape.join(', ')}]`, [tensor])
}

export function checkDType(op: string, tensor: Tensor, dtype: DType, name: string): void {
  if (tensor.dtype !== dtype) throw opError(op, `${name} must be ${dtype}`, [tensor])
}

export function numberAttribute(op: string, attributes: Attributes, name: string): number {
  const value = attributes[name]
  if (typeof value !== 'number') throw opError(op, `attribute ${name} must be a number`)
  return value
}

export function listAttribute(op: string, attributes: Attributes, name: string): readonly number[] {
  const value = attributes[name]
  if (!Array.isArray(value)) throw opError(op, `attribute ${name} must be a list of numbers`)
  return value as readonly number[]
}

export function textAttribute(op: string, attributes: Attributes, name: string): string {
  const value = attributes[name]
  if (typeof value !== 'string') throw opError(op, `attribute ${name} must be text`)
  return value
}
