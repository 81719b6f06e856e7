import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

let cases: Case<{ error: number; bytes: number; counters: Counters }>[] = []
test.before(() => {
  cases = runProgram('kernels/geglu')
})

test('geglu multiplies by the exact GELU to one rounding, without a fault', (t) => {
  t.is(cases.length, 8)
  for (const one of cases) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.true(one.error <= 1, `${one.case}: ${one.error} of the allowed error`)
  }
})

test('geglu moves every byte once', (t) => {
  const { bytes, counters } = cases.find((one) => one.case === 'bf16 3 x 1280')!
  t.is(counters.loadBytes + counters.storeBytes, bytes)
  t.is(counters.dramReadBytes + counters.dramWrittenBytes, bytes)
  t.is(counters.sectorFactor, 1)
})
