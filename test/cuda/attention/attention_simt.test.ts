/** Attention on the ordinary units, in the emulator: results, and how it uses the card. */
import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

let cases: Case<{ error: number; lseError: number; counters: Counters }>[] = []
test.before(() => {
  cases = runProgram('attention/attention_simt')
})

test('attention is softmax to the roundings of f32 and of the result, without a fault', (t) => {
  t.is(cases.length, 26)
  for (const one of cases) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.true(one.error <= 1, `${one.case}: ${one.error} of the allowed error`)
    t.true(one.lseError <= 1, `${one.case}: log-sum-exp, ${one.lseError} of the allowed error`)
  }
})

test('shared memory is read and written without bank conflicts', (t) => {
  for (const one of cases) t.is(one.counters.conflictFactor, 1, one.case)
})

test('global memory moves whole sectors, each of them once from DRAM', (t) => {
  for (const [name, bytes] of [['f32 whole tiles', 4], ['bf16 whole tiles', 2]] as const) {
    const { counters } = cases.find((one) => one.case === name)!
    t.is(counters.sectorFactor, 1, name)
    t.is(counters.dramReadBytes, 64 * 3 * 128 * bytes, name)
    t.is(counters.dramWrittenBytes, 64 * 128 * bytes + 2 * 64 * 4, name)
  }
})
