/**
 * Checks an op on the cpu device against double precision: a case builds a small graph around the op, ending in a loss;
 * autodiff, plan and device then give values and gradients as a training step would, and the same forward graph
 * evaluated by test/graph/reference.ts gives the expected values, and by central differences the expected gradients.
 */
import type { ExecutionContext } from 'ava'
import { relativeL2 } from '../helpers/fixture-tensors'
import { testDevice } from '../helpers/test-device'
import { buildCase, scale, type Built, type Layout, type OpCase } from './build-case'
import { evaluate } from './reference'
import { runCase } from './run-case'

/**
 * Forward values are sums of at most some hundred products of numbers near 1, whose rounding in f32 (6e-8 each) comes
 * to 1e-6 at most; a gradient is two to four such sums one after the other. Central differences in double precision
 * with this step are wrong by about step² (truncation) and 1e-16/step (rounding), both below 1e-9: no part of the
 * tolerance.
 */
const forwardTolerance = 1e-6
const gradientTolerance = 3e-6
const step = 1e-5

export async function checkOp(t: ExecutionContext, one: OpCase, layout: Layout): Promise<void> {
  const built = buildCase(one, layout)
  const device = await runCase(built, testDevice)
  const values = leafValues(built, device.weights)
  const reference = evaluate(built.forward, (tensor) => values.get(tensor.name)!)
  for (const [name, tensor] of built.forward.outputs) {
    const error = relativeL2(device.outputs[name]!, reference.get(tensor)!)
    t.true(error <= forwardTolerance, `${one.title}: ${name} differs by ${error}`)
  }
  for (const { tensor, kind } of built.leaves.values()) {
    if (kind !== 'x' && kind !== 'trained') continue
    const expected = centralDifferences(built, values, tensor.name)
    const found = kind === 'x' ? device.outputs[`d ${tensor.name}`] : device.gradients(tensor.name)
    if (!found) {
      t.fail(`${one.title}: ${tensor.name} has no gradient`)
      continue
    }
    const error = relativeL2(found, expected)
    t.true(error <= gradientTolerance, `${one.title}: the gradient of ${tensor.name} differs by ${error}`)
    if (kind === 'trained') {
      const twice = relativeL2(
        device.gradientsAfterTwo(tensor.name),
        expected.map((v) => 2 * v),
      )
      t.true(twice <= gradientTolerance, `${one.title}: the gradient of ${tensor.name} does not accumulate: ${twice}`)
    }
  }
}

/** d(scale · total)/d(leaf), element by element. */
function centralDifferences(built: Built, values: ReadonlyMap<string, Float64Array>, name: string): Float64Array {
  const mine = values.get(name)!
  const totalWith = (i: number, value: number) => {
    const before = mine[i]!
    mine[i] = value
    const total = evaluate(built.forward, (tensor) => values.get(tensor.name)!).get(built.total)![0]!
    mine[i] = before
    return total
  }
  return mine.map((v, i) => (scale * (totalWith(i, v + step) - totalWith(i, v - step))) / (2 * step))
}

/** Every leaf as the device sees it, in double precision. */
function leafValues({ leaves }: Built, weights: ReadonlyMap<string, Float32Array>): Map<string, Float64Array> {
  return new Map([...leaves].map(([name, { values }]) => [name, Float64Array.from(weights.get(name) ?? values)]))
}
