import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

let cases: Case<{ error: number; bytes: number; counters: Counters }>[] = []
test.before(() => {
  cases = runProgram('kernels/activation')
})

test('activations and their gradients are those of double, for any length and start, without a fault', (t) => {
  t.is(cases.length, 2 * 4 * 3 * 2 * 3)
  for (const one of cases) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.true(one.error <= 1, `${one.case}: ${one.error} of the allowed error`)
  }
})

test('both move every byte once: 2 elements for one of y, 3 backward', (t) => {
  for (const name of ['bf16 silu 2048', 'bf16 gelu backward 2048', 'f32 quick_gelu backward 2048']) {
    const { bytes, counters } = cases.find((one) => one.case === name)!
    t.is(counters.loadBytes + counters.storeBytes, bytes, name)
    t.is(counters.dramReadBytes + counters.dramWrittenBytes, bytes, name)
    t.is(counters.sectorFactor, 1, name)
  }
})
