import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

let cases: Case<{ error: number; bytes: number; counters: Counters }>[] = []
test.before(() => {
  cases = runProgram('kernels/modulate')
})

test('modulate and gate are those of double to one rounding, without a fault', (t) => {
  t.is(cases.length, 24)
  for (const one of cases) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.true(one.error <= 1, `${one.case}: ${one.error} of the allowed error`)
  }
})

test('both move every byte once, in whole sectors', (t) => {
  for (const dtype of ['bf16', 'f32'])
    for (const name of [`${dtype} 2 x 64 x 256`, `${dtype} 2 x 64 x 256 gate`]) {
      const { bytes, counters } = cases.find((one) => one.case === name)!
      t.is(counters.dramReadBytes + counters.dramWrittenBytes, bytes, name)
      t.is(counters.sectorFactor, 1, name)
    }
})
