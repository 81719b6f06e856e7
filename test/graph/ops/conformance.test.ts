import test from 'ava'
import type { Operand } from '../../../lib/graph/op'
import { ops } from '../../../lib/graph/ops'
import { planMemory } from '../../../lib/graph/passes/plan'
import { buildCase } from '../build-case'
import { checkOp } from '../check-op'
import { cases, withoutGradient } from './cases'

// What every op of the registry must satisfy. A new op joins by having cases in cases.ts.

test('every op has cases for its gradient, or a reason why it needs none', (t) => {
  const differentiable = ops.filter((op) => op.gradient).map((op) => op.name)
  const others = ops.filter((op) => !op.gradient).map((op) => op.name)
  t.deepEqual(Object.keys(cases).sort(), differentiable.sort())
  t.deepEqual(Object.keys(withoutGradient).sort(), others.sort())
})

const layouts = ['ports', 'copies'] as const
const built = Object.entries(cases).flatMap(([name, list]) =>
  list.flatMap((one) => layouts.map((layout) => ({ name, graph: buildCase(one, layout).graph }))),
)

test('every op that computes a gradient is emitted by the cases of the op that it belongs to', (t) => {
  for (const [name, why] of Object.entries(withoutGradient)) {
    if (!('of' in why)) continue
    const emitted = built.filter((one) => one.name === why.of).flatMap(({ graph }) => graph.ops)
    t.true(
      emitted.some((op) => op.definition.name === name),
      `no case of ${why.of} emits ${name}`,
    )
  }
})

test('every op that may run in place does so in some case', (t) => {
  const seen = new Set<string>()
  for (const { graph } of built) {
    const { tensors } = planMemory(graph)
    const place = (operand: Operand) => operand && tensors.get(operand)?.offset
    for (const { definition, inputs, outputs } of graph.ops)
      for (const { input, output } of definition.inPlace ?? [])
        if (place(outputs[output]) !== undefined && place(inputs[input]) === place(outputs[output]))
          seen.add(`${definition.name}: output ${output} on input ${input}`)
  }
  const rules = ops.flatMap(({ name, inPlace = [] }) =>
    inPlace.map(({ input, output }) => `${name}: output ${output} on input ${input}`),
  )
  t.deepEqual([...seen].sort(), rules.sort())
})

for (const [name, list] of Object.entries(cases))
  for (const one of list)
    test(`${name} and its gradient agree with double precision: ${one.title}`, async (t) => {
      for (const layout of layouts) await checkOp(t, one, layout)
    })
