import test from 'ava'
import { ops } from '../../../lib/graph/ops'
import { buildCase, checkOp } from '../check-op'
import { cases, withoutGradient } from './cases'

// What every op of the registry must satisfy. A new op joins by having cases in cases.ts.

test('every op has cases for its gradient, or a reason why it needs none', (t) => {
  const differentiable = ops.filter((op) => op.gradient).map((op) => op.name)
  const others = ops.filter((op) => !op.gradient).map((op) => op.name)
  t.deepEqual(Object.keys(cases).sort(), differentiable.sort())
  t.deepEqual(Object.keys(withoutGradient).sort(), others.sort())
})

test('every op that computes a gradient is emitted by the cases of the op that it belongs to', (t) => {
  for (const [name, why] of Object.entries(withoutGradient)) {
    if (!('of' in why)) continue
    const emitted = (cases[why.of] ?? []).flatMap((one) => buildCase(one).graph.ops.map((op) => op.definition.name))
    t.true(emitted.includes(name), `no case of ${why.of} emits ${name}`)
  }
})

for (const [name, list] of Object.entries(cases))
  for (const one of list)
    test(`${name} and its gradient agree with double precision: ${one.title}`, (t) => checkOp(t, one))
