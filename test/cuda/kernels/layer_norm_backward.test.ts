import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

let cases: Case<{ error: number; bytes: number; counters: Counters }>[] = []
test.before(() => {
  cases = runProgram('kernels/layer_norm_backward')
})

test('the gradients of layer_norm are those of double, for rows of any length, without a fault', (t) => {
  t.is(cases.length, 28)
  for (const one of cases) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.true(one.error <= 1, `${one.case}: ${one.error} of the allowed error`)
  }
})

test('dx costs one pass over dy and x and one over dx, in whole sectors', (t) => {
  for (const name of ['bf16 8 x 1280, dx alone', 'f32 8 x 1280, dx alone']) {
    const { bytes, counters } = cases.find((one) => one.case === name)!
    t.is(counters.dramReadBytes + counters.dramWrittenBytes, bytes, name)
    t.is(counters.conflictFactor, 1, name)
    t.is(counters.sectorFactor, 1, name)
  }
})
