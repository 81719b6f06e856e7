import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

let cases: Case<{ error: number; counters: Counters; second: number }>[] = []
test.before(() => {
  cases = runProgram('kernels/sum_rows')
})
const find = (name: string) => cases.find((one) => one.case === name)!

test('sum_rows sums rows of any number, width and place, without a fault', (t) => {
  t.is(cases.length, 11)
  for (const one of cases) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.true(one.error <= 1, `${one.case}: ${one.error} of the allowed error`)
  }
})

test('sum_rows reads every row once, in whole sectors; few rows take no second pass', (t) => {
  const { counters, second } = find('f32 to f32 1 x 256 x 128, added')
  t.is(second, 0)
  t.is(counters.dramReadBytes, 4 * (256 * 128 + 128))
  t.is(counters.dramWrittenBytes, 4 * 128)
  t.is(counters.sectorFactor, 1)
  t.is(find('bf16 to f32 1 x 700 x 320, added').second, 1)
})

test('sum_rows uses shared memory without bank conflicts', (t) => {
  for (const one of cases) if (one.counters) t.is(one.counters.conflictFactor, 1, one.case)
})
