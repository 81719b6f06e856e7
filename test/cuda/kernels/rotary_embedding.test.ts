import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

let cases: Case<{ error: number; bytes: number; counters: Counters }>[] = []
test.before(() => {
  cases = runProgram('kernels/rotary_embedding')
})

test('rotary_embedding is that of double to one rounding, there and back, without a fault', (t) => {
  t.is(cases.length, 20)
  for (const one of cases) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.true(one.error <= 1, `${one.case}: ${one.error} of the allowed error`)
  }
})

test('it moves every byte once, and the tables once for all heads and samples, in whole sectors', (t) => {
  for (const dtype of ['bf16', 'f32'])
    for (const name of [`${dtype} 1 x 3 x 24 heads of 128`, `${dtype} 3 x 17 x 4 heads of 64 backwards`]) {
      const { bytes, counters } = cases.find((one) => one.case === name)!
      t.is(counters.dramReadBytes + counters.dramWrittenBytes, bytes, name)
      t.is(counters.sectorFactor, 1, name)
    }
})
