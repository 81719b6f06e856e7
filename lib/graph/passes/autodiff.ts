/**
 * Reverse-mode differentiation as a pass: appends the backward ops of a forward graph. Gradients are built only along
 * paths that lead to something trainable (or to a tensor asked for in `wrt`); frozen weights never get one. The
 * gradients of trainable parameters accumulate in their buffers, so using a parameter twice or running several
 * micro-steps needs no add.
 */
import { opError, type Operand } from '../op'
import { createTensor, withOps, type Graph, type Operation } from '../graph'
import { add } from '../ops/add'
import { elements, type Tensor } from '../tensor'

export interface LossSeed {
  /** A [1] output of a loss op. */
  loss: Tensor
  /** d(what is minimised)/d(this loss): its weight, over the number of micro-steps of an update. */
  scale: number
}

export interface Differentiated {
  graph: Graph
  /** Gradients of the tensors in `wrt`; a tensor that no loss depends on has none. */
  gradients: Map<Tensor, Tensor>
}

/**
 * @param losses what is minimised: Σ scale · loss
 * @param wrt further tensors (inputs, activations) whose gradients are wanted
 * @throws LorikeetError when a gradient would get lost, naming the op: one that has no rule, or whose rule gives none
 *   for an operand that something trainable lies behind, or that cannot accumulate that of a parameter
 */
export function autodiff(forward: Graph, losses: readonly LossSeed[], wrt: readonly Tensor[] = []): Differentiated {
  const graph = withOps(forward, [...forward.ops])
  graph.phase = 'backward'
  checkEnds(forward, losses, wrt)
  const wanted = findWanted(forward.ops, wrt)
  const seeds = new Map(losses.map(({ loss, scale }) => [loss, scale]))
  const gradients = new Map<Tensor, Tensor>()

  for (const operation of [...forward.ops].reverse()) {
    const dOutputs = operation.outputs.map((output) => output && gradients.get(output))
    const isLoss = operation.outputs.some((output) => output && seeds.has(output))
    if (!isLoss && !dOutputs.some(Boolean)) continue
    if (!operation.inputs.some((operand) => operand && wanted.has(operand))) continue
    graph.block = operation.block
    const flowing = differentiate(graph, operation, dOutputs, seeds, wanted)
    flowing.forEach((gradient, i) => {
      const operand = operation.inputs[i]
      if (!gradient || !operand || !wanted.has(operand)) return
      const before = gradients.get(operand)
      gradients.set(operand, before ? add(graph, before, gradient, `d ${operand.name}`) : gradient)
    })
  }
  graph.block = undefined
  return { graph, gradients: new Map(wrt.flatMap((tensor) => pair(tensor, gradients.get(tensor)))) }
}

const pair = (tensor: Tensor, gradient: Operand): [Tensor, Tensor][] => (gradient ? [[tensor, gradient]] : [])

function checkEnds(forward: Graph, losses: readonly LossSeed[], wrt: readonly Tensor[]): void {
  const made = new Set(forward.ops.flatMap(({ outputs }) => outputs))
  for (const { loss } of losses)
    if (!made.has(loss)) throw opError('autodiff', `no op of ${forward.label} makes this loss`, [loss])
  for (const tensor of wrt)
    if (tensor.storage.space !== 'arena')
      throw opError(
        'autodiff',
        `gradients of a ${tensor.storage.space} tensor are no result: parameters have theirs in a buffer`,
        [tensor],
      )
}

/** Everything between the trainable leaves and the losses. */
function findWanted(ops: readonly Operation[], wrt: readonly Tensor[]): Set<Tensor> {
  const wanted = new Set<Tensor>(wrt)
  for (const { inputs, outputs } of ops) {
    for (const operand of inputs) if (operand?.gradient) wanted.add(operand)
    if (inputs.some((operand) => operand && wanted.has(operand)))
      for (const output of outputs) if (output) wanted.add(output)
  }
  return wanted
}

function differentiate(
  graph: Graph,
  operation: Operation,
  dOutputs: readonly Operand[],
  seeds: ReadonlyMap<Tensor, number>,
  wanted: ReadonlySet<Tensor>,
): Operand[] {
  const { definition, inputs, outputs } = operation
  if (!definition.gradient)
    throw opError(definition.name, 'has no gradient rule, but something trainable lies behind it', inputs)
  const needs = (i: number) => Boolean(inputs[i] && wanted.has(inputs[i]) && !inputs[i].gradient)
  const accumulated = new Set<Operand>()
  const gradients = definition.gradient({
    graph,
    operation,
    dOutputs,
    seed: (i) => (outputs[i] ? seeds.get(outputs[i]) : undefined),
    needs,
    accumulator(i) {
      accumulated.add(inputs[i])
      return inputs[i] && accumulatorOf(inputs[i])
    },
  })
  if (gradients.length > inputs.length)
    throw opError(definition.name, `gave ${gradients.length} gradients for ${inputs.length} inputs`, inputs)
  gradients.forEach((gradient, i) => {
    const operand = inputs[i]
    if (gradient && operand && elements(gradient.shape) !== elements(operand.shape))
      throw opError(definition.name, `gave a gradient of another shape for input ${i}`, [operand, gradient])
  })
  inputs.forEach((operand, i) => {
    if (needs(i) && !gradients[i])
      throw opError(definition.name, `gives no gradient of input ${i}, but something trainable lies behind it`, [
        operand,
      ])
    if (operand?.gradient && !accumulated.has(operand))
      throw opError(definition.name, `cannot take a trainable parameter as input ${i}`, [operand])
  })
  return gradients
}

function accumulatorOf(tensor: Tensor): Operand {
  if (!tensor.gradient) return undefined
  const { buffer, offset } = tensor.gradient
  return createTensor(`d ${tensor.name}`, tensor.shape, 'f32', { space: 'buffer', name: buffer, offset })
}
