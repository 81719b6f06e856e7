/** The backward pass of attention, in the emulator: results, and how its kernels use the card. */
import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

interface Fields {
  error: number
  attention_delta: Counters
  attention_dq?: Counters
  attention_dkv?: Counters
  attention_dkv_add?: Counters
}
let cases: Case<Fields>[] = []
test.before(() => {
  cases = runProgram('attention/attention_backward')
})
const find = (name: string) => cases.find((one) => one.case === name)!

test('gradients are those of softmax to the roundings of p, ds and result, without a fault', (t) => {
  t.is(cases.length, 18)
  for (const one of cases) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.true(one.error <= 1, `${one.case}: ${one.error} of the allowed error`)
  }
})

test('shared memory is read and written without bank conflicts', (t) => {
  for (const one of cases) {
    t.is(one.attention_dq?.conflictFactor ?? 1, 1, one.case)
    t.is(one.attention_dkv?.conflictFactor ?? 1, 1, one.case)
  }
})

test('each kernel moves each tensor once, in whole sectors', (t) => {
  const { attention_delta: delta, attention_dq: dq, attention_dkv: dkv } = find('whole tiles')
  const tensor = 128 * 128 * 2
  const perRow = 2 * 128 * 4
  t.is(delta.sectorFactor, 1)
  t.is(dq!.sectorFactor, 1)
  t.is(dkv!.sectorFactor, 1)
  t.is(delta.dramReadBytes, 2 * tensor)
  t.is(dq!.dramReadBytes, 4 * tensor + 2 * perRow)
  t.is(dkv!.dramReadBytes, 4 * tensor + 2 * perRow)
  t.is(delta.dramWrittenBytes, perRow)
  t.is(dq!.dramWrittenBytes, tensor)
  t.is(dkv!.dramWrittenBytes, 2 * tensor)
})

test('seven products are computed, none for tiles that nobody sees or gradients that nobody wants', (t) => {
  const { attention_dq: dq, attention_dkv: dkv } = find('whole tiles')
  const product = 2 * 2 * 128 * 128 * 64
  t.is(dq!.tensorFlops, 3 * product)
  t.is(dkv!.tensorFlops, 4 * product)
  // 64 keys a block, 32 queries a step: of the three steps the second block takes the last.
  t.is(find('causal, head of 64').attention_dkv!.tensorFlops, 2 * 4 * 2 * 64 * 32 * 64 * (3 + 1))
  t.is(find('keys and values only').attention_dq, undefined)
  t.is(find('queries only').attention_dkv, undefined)
})

test('for few keys the queries are cut into parts, whose sums are added in whole sectors', (t) => {
  const { attention_dkv: dkv, attention_dkv_add: add } = find('parts, head of 64')
  t.is(dkv!.blocks, 2 * 2) // samples times parts of 64 queries or more
  const sums = 2 * 2 * 2 * 20 * 64 * 4
  t.is(dkv!.dramWrittenBytes, sums)
  t.is(add!.dramReadBytes, sums)
  t.is(add!.dramWrittenBytes, 2 * 2 * 20 * 64 * 2)
  for (const one of [dkv!, add!]) t.is(one.sectorFactor, 1)
  t.is(find('prompt, head of 40').attention_dkv_add, undefined) // as many queries as keys a part at least
  t.is(find('causal, head of 64').attention_dkv_add, undefined)
})
