/** Attention on tensor cores, in the emulator: results, and how it uses the card. */
import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

interface Fields {
  error: number
  lseError: number
  counters: Counters
  refused?: string
}
let cases: Case<Fields>[] = []
test.before(() => {
  cases = runProgram('attention/attention')
})
const results = () => cases.filter((one) => one.counters !== undefined || one.fault !== undefined)
const find = (name: string) => cases.find((one) => one.case === name)!

test('attention is softmax to the roundings of probabilities and result, without a fault', (t) => {
  t.is(results().length, 16)
  for (const one of results()) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.true(one.error <= 1, `${one.case}: ${one.error} of the allowed error`)
    t.true(one.lseError <= 1, `${one.case}: log-sum-exp, ${one.lseError} of the allowed error`)
  }
})

test('shared memory is read and written without bank conflicts', (t) => {
  for (const one of results()) t.is(one.counters.conflictFactor, 1, one.case)
})

test('global memory moves each tensor once, in whole sectors', (t) => {
  const { counters } = find('whole tiles')
  t.is(counters.sectorFactor, 1)
  t.is(counters.dramReadBytes, 128 * 3 * 128 * 2)
  t.is(counters.dramWrittenBytes, 128 * 128 * 2 + 2 * 128 * 4)
  // Ragged tiles add nothing to speak of, and of rows of 40 elements none is fetched from DRAM twice.
  for (const size of [64, 80, 128, 160]) t.true(find(`self, head of ${size}`).counters.sectorFactor <= 1.01)
  t.is(find('self, head of 40').counters.dramReadBytes, 2 * 70 * 3 * 80 * 2)
})

test('a head is made up to the next 16 columns, and causal attention leaves out tiles that nobody sees', (t) => {
  t.is(find('whole tiles').counters.tensorFlops, 2 * 4 * 128 * 128 * 64)
  // 128 queries a block, tiles of 64 keys: the first block needs two, the second three.
  t.is(find('causal, head of 40').counters.tensorFlops, 4 * 128 * (2 + 3) * 64 * 48)
})

test('what the kernel cannot do is refused by name', (t) => {
  t.regex(find('wide head').refused ?? '', /at most 160 columns/)
  t.regex(find('odd head').refused ?? '', /multiple of 8/)
  t.regex(find('no keys').refused ?? '', /no keys/)
  t.regex(find('no scale').refused ?? '', /scale/)
  t.regex(find('crooked rows').refused ?? '', /16 bytes/)
})
