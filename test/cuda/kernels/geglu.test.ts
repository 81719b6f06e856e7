import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

let cases: Case<{ error: number; bytes: number; counters: Counters }>[] = []
test.before(() => {
  cases = runProgram('kernels/geglu')
})

test('geglu and its gradient follow the exact GELU to one rounding, without a fault', (t) => {
  t.is(cases.length, 24)
  for (const one of cases) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.true(one.error <= 1, `${one.case}: ${one.error} of the allowed error`)
  }
})

test('both move every byte once: 3 elements for one of y, 5 backward', (t) => {
  for (const name of ['bf16 3 x 1280', 'bf16 3 x 1280 backward', 'f32 3 x 1280 backward']) {
    const { bytes, counters } = cases.find((one) => one.case === name)!
    t.is(counters.loadBytes + counters.storeBytes, bytes, name)
    t.is(counters.dramReadBytes + counters.dramWrittenBytes, bytes, name)
    t.is(counters.sectorFactor, 1, name)
  }
})
