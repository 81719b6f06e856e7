import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

let cases: Case<{ error: number; counters: Counters; moments: Counters }>[] = []
test.before(() => {
  cases = runProgram('kernels/group_norm')
})

test('group_norm normalises groups of any width, with shift and SiLU, to one rounding, without a fault', (t) => {
  t.is(cases.length, 16)
  for (const one of cases) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.true(one.error <= 1, `${one.case}: ${one.error} of the allowed error`)
  }
})

test('group_norm reads x twice and writes y once, in whole sectors', (t) => {
  const { counters, moments } = cases.find((one) => one.case === 'bf16 1 x 96 x 320')!
  const x = 96 * 320 * 2
  t.is(moments.dramReadBytes, x)
  t.is(counters.dramWrittenBytes, x)
  t.is(counters.dramReadBytes, x + 2 * 320 * 4 + 32 * 8)
  t.is(moments.sectorFactor, 1)
  t.true(moments.conflictFactor < 2)
})
