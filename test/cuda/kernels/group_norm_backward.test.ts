import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

let cases: Case<{ error: number; counters: Counters; sums: Counters }>[] = []
test.before(() => {
  cases = runProgram('kernels/group_norm_backward')
})

test('the gradients of group_norm are those of double, with shift and SiLU, without a fault', (t) => {
  t.is(cases.length, 22)
  for (const one of cases) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.true(one.error <= 1, `${one.case}: ${one.error} of the allowed error`)
  }
})

test('dx costs two passes over dy and x and one over dx, in whole sectors', (t) => {
  const { counters, sums } = cases.find((one) => one.case === 'bf16 1 x 96 x 320, dx alone')!
  const x = 96 * 320 * 2
  const perChannel = 320 * (4 + 4 + 2) // gamma, beta, shift
  const perGroup = 32 * 2 * 4
  t.is(sums.dramReadBytes, 2 * x + perChannel + perGroup)
  t.is(sums.dramWrittenBytes, 3 * perGroup)
  t.is(counters.dramReadBytes, 2 * x + perChannel + 2 * perGroup)
  t.is(counters.dramWrittenBytes, x)
  t.true(sums.conflictFactor < 2)
  const inF32 = cases.find((one) => one.case === 'f32 1 x 96 x 320, dx alone')!
  for (const one of [counters, sums, inF32.counters, inF32.sums]) t.is(one.sectorFactor, 1)
})
