/** The product with adapters, in the emulator: results, and how it uses the card. */
import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

interface Fields {
  error: number
  counters: Counters
  thrown: string
  differences: number
}
let cases: Case<Fields>[] = []
test.before(() => {
  cases = runProgram('gemm/matmul')
})
const products = () => cases.filter((one) => !['too many', 'scales'].includes(one.case))

test('every tile and layout gives the product with its adapters to one rounding, without a fault', (t) => {
  t.is(products().length, 54)
  for (const one of products()) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.true(one.error <= 1, `${one.case}: ${one.error} of the allowed error`)
  }
})

test('shared memory is read and written without bank conflicts', (t) => {
  for (const one of products()) t.is(one.counters.conflictFactor, 1, one.case)
})

test('whole tiles move no sector that is not needed', (t) => {
  const whole = products().filter((one) => one.case.startsWith('whole tiles'))
  t.is(whole.length, 12)
  for (const one of whole) t.true(one.counters.sectorFactor <= 1.1, `${one.case}: ${one.counters.sectorFactor}`)
})

test('the adapter costs one more step of the reduction and nothing else', (t) => {
  const { counters } = cases.find((one) => one.case === 'whole tiles, 128x128, k contiguous')!
  // 96 columns are three steps of 32, the rank of 16 fills half of a fourth.
  t.is(counters.tensorFlops, 2 * 128 * 128 * (96 + 32))
  t.is(counters.dramWrittenBytes, 128 * 128 * 2)
  t.is(counters.dramReadBytes, 2 * (128 * 96 + 128 * 96 + 128 * 16 + 128 * 16) + 128 * 4)
  t.is(counters.blockBarriers, 4 + 1)
})

test('f32 computes as many sums, on no tensor core', (t) => {
  const { counters } = cases.find((one) => one.case === 'whole tiles, f32, 64x64, k contiguous')!
  t.is(counters.tensorFlops, 0)
  t.is(counters.dramReadBytes, 4 * (128 * 96 + 128 * 96 + 128 * 16 + 128 * 16) + 128 * 4)
  t.is(counters.blockBarriers, 4 * (7 + 1)) // steps of 16
})

test('more adapters than a launch has room for are refused', (t) => {
  t.regex(cases.find((one) => one.case === 'too many')!.thrown, /too many adapters/)
})

test('adapters of different scales side by side are rounded alike in every tile', (t) => {
  const { fault, differences } = cases.find((one) => one.case === 'scales')!
  t.is(fault, undefined)
  t.is(differences, 0)
})
