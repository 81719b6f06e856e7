/** Gradients by weights, in the emulator: results, and how they use the card. */
import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

interface Fields {
  error: number
  counters: Counters
  second: number
  thrown: string
  thin: number
  short: number
  wide: number
}
let cases: Case<Fields>[] = []
test.before(() => {
  cases = runProgram('gemm/weight_grad')
})
const find = (name: string) => cases.find((one) => one.case === name)!
const gradients = () => cases.filter((one) => !['choice', 'no room'].includes(one.case))

test('every tile, in one part and in several, adds the gradient to what is there, without a fault', (t) => {
  t.is(gradients().length, 25)
  for (const one of gradients()) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.true(one.error <= 1, `${one.case}: ${one.error} of the allowed error`)
  }
})

test('both operands come through the transposing load without bank conflicts', (t) => {
  for (const one of gradients()) t.is(one.counters.conflictFactor, 1, one.case)
})

test('one part adds to the gradient itself, several take a second pass', (t) => {
  const { counters, second } = find('whole tiles')
  t.is(second, 0)
  t.is(counters.dramReadBytes, 2 * 96 * (128 + 128) + 4 * 128 * 128)
  t.is(counters.dramWrittenBytes, 4 * 128 * 128)
  t.is(counters.sectorFactor, 1)
  const thin = find('down of rank 16')
  t.is(thin.second, 1)
  t.is(thin.counters.blocks, 2 * 4)
  t.is(thin.counters.dramWrittenBytes, 4 * 4 * 16 * 128)
})

test('an up whose h is a third of shared rows wastes half of their sectors, and little for all that is read', (t) => {
  t.true(find('up of rank 8, an h of 24').counters.sectorFactor < 1.1)
})

test('the gradient of a convolution reads the image itself, not nine copies of it', (t) => {
  const { counters } = find('3x3, 128x64')
  t.is(counters.dramReadBytes, 2 * (110 * 72 + 110 * 40) + 4 * 72 * 9 * 40)
  t.is(counters.dramWrittenBytes, 4 * 72 * 9 * 40)
})

test('parts without room for their sums are refused', (t) => {
  t.regex(find('no room').thrown, /room for their sums/)
})

test('thin gradients of many rows are split into blocks enough for any card', (t) => {
  const { thin, short, wide } = find('choice')
  t.is(thin, 19) // 5 tiles for 96 blocks
  t.is(short, 2) // of 256 rows or more
  t.is(wide, 1)
})
