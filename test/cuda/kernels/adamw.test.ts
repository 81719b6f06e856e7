import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

let cases: Case<{ error: number; changed: number; wrongShadows: number; counters: Counters }>[] = []
test.before(() => {
  cases = runProgram('kernels/adamw')
})

test('adamw follows the update in double for three steps, without a fault', (t) => {
  t.is(cases.length, 5)
  for (const one of cases) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.true(one.error <= 1, `${one.case}: ${one.error} of the allowed error`)
  }
})

test('adamw touches only its pieces, and writes the shadow of what it wrote', (t) => {
  for (const one of cases.slice(0, 3)) t.is(one.changed, 680, one.case)
  for (const one of cases) t.is(one.wrongShadows, 0, one.case)
})

test('adamw changes nothing when the norm is not finite', (t) => {
  for (const one of cases.slice(3)) t.is(one.changed, 0, one.case)
})
