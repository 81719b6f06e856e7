import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

let cases: Case<{ error: number; bytes: number; counters: Counters }>[] = []
test.before(() => {
  cases = runProgram('kernels/layer_norm')
})

test('layer_norm normalises rows of any length and mean to one rounding, without a fault', (t) => {
  t.is(cases.length, 44)
  for (const one of cases) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.true(one.error <= 1, `${one.case}: ${one.error} of the allowed error`)
  }
})

test('layer_norm reads every row once', (t) => {
  const { bytes, counters } = cases.find((one) => one.case === 'bf16 4 x 1280')!
  t.is(counters.dramReadBytes + counters.dramWrittenBytes, bytes)
  t.is(counters.loadBytes, 1280 * (4 * 2 + 8)) // gamma and beta once for all of them
  const alone = cases.find((one) => one.case === 'bf16 4 x 1280, alone')!
  t.is(alone.counters.loadBytes, 4 * 1280 * 2)
})

test('layer_norm asks for whole sectors', (t) => {
  for (const name of ['f32 4 x 1280', 'bf16 4 x 1280', 'bf16 5 x 320', 'bf16 9 x 640']) {
    const { counters } = cases.find((one) => one.case === name)!
    t.is(counters.sectorFactor, 1, name)
    t.is(counters.conflictFactor, 1, name)
  }
})
