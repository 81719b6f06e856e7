/** The backward pass of attention on the ordinary units, in the emulator: results, and how its kernels use the card. */
import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

interface Fields {
  error: number
  attention_dq_simt?: Counters
  attention_dkv_simt?: Counters
}
let cases: Case<Fields>[] = []
test.before(() => {
  cases = runProgram('attention/attention_backward_simt')
})

test('gradients are those of softmax to the roundings of f32 and of the result, without a fault', (t) => {
  t.is(cases.length, 28)
  for (const one of cases) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.true(one.error <= 1, `${one.case}: ${one.error} of the allowed error`)
  }
})

test('shared memory is read and written without bank conflicts', (t) => {
  for (const one of cases) {
    t.is(one.attention_dq_simt?.conflictFactor ?? 1, 1, one.case)
    t.is(one.attention_dkv_simt?.conflictFactor ?? 1, 1, one.case)
  }
})

test('each kernel moves each tensor once from DRAM, and none is run for what nobody wants', (t) => {
  const { attention_dq_simt: dq, attention_dkv_simt: dkv } = cases.find((one) => one.case === 'f32 whole tiles')!
  const tensor = 64 * 128 * 4
  const perRow = 2 * 64 * 4
  t.is(dq!.dramReadBytes, 4 * tensor + 2 * perRow)
  t.is(dkv!.dramReadBytes, 4 * tensor + 2 * perRow)
  t.is(dq!.dramWrittenBytes, tensor)
  t.is(dkv!.dramWrittenBytes, 2 * tensor)
  t.is(dkv!.sectorFactor, 1)
  t.is(cases.find((one) => one.case === 'f32 keys and values only')!.attention_dq_simt, undefined)
  t.is(cases.find((one) => one.case === 'f32 queries only')!.attention_dkv_simt, undefined)
})
