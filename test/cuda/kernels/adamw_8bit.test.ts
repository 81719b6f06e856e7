import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

interface Fields {
  error: number
  changed: number
  wrongShadows: number
  strayCodes: number
  counters: Counters
}

let cases: Case<Fields>[] = []
test.before(() => {
  cases = runProgram('kernels/adamw_8bit')
})

test('adamw_8bit follows the update in double for three steps, without a fault', (t) => {
  t.is(cases.length, 5)
  for (const one of cases) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.true(one.error <= 1, `${one.case}: ${one.error} of the allowed error`)
  }
})

test('adamw_8bit touches only its pieces, and writes the shadow of what it wrote', (t) => {
  for (const one of cases.slice(0, 3)) t.is(one.changed, 713, one.case)
  for (const one of cases) {
    t.is(one.wrongShadows, 0, one.case)
    t.is(one.strayCodes, 0, one.case)
  }
})

test('adamw_8bit moves whole sectors', (t) => {
  // Piece and scales share theirs with little else.
  for (const one of cases.slice(0, 2)) t.true(one.counters.sectorFactor < 1.1, `${one.case}: ${one.counters.sectorFactor}`)
})

test('adamw_8bit changes nothing when the norm is not finite', (t) => {
  for (const one of cases.slice(3)) t.is(one.changed, 0, one.case)
})
