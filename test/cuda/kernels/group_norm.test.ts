import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

let cases: Case<{ error: number; counters: Counters; moments: Counters; stats: Counters }>[] = []
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
  const { counters, moments, stats } = cases.find((one) => one.case === 'bf16 1 x 96 x 320')!
  const x = 96 * 320 * 2
  t.is(moments.dramReadBytes, x)
  t.is(counters.dramWrittenBytes, x)
  t.is(counters.dramReadBytes, x + 2 * 320 * 4 + 32 * 8)
  for (const one of [counters, moments]) t.is(one.sectorFactor, 1)
  t.true(stats.sectorFactor <= 1.25) // three pairs of 8 bytes a group; 1 where the blocks of rows are a multiple of 4
  t.true(moments.conflictFactor < 2)
})
