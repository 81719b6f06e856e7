/** Convolution as a product through a moving window, in the emulator: results, and how it uses the card. */
import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

let cases: Case<{ error: number; counters: Counters; wrong: number }>[] = []
test.before(() => {
  cases = runProgram('gemm/conv2d')
})
const convolutions = () => cases.filter((one) => one.case !== 'division')

test('conv2d gives the convolution and its gradient with their adapters to one rounding, without a fault', (t) => {
  t.is(convolutions().length, 32)
  for (const one of convolutions()) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.true(one.error <= 1, `${one.case}: ${one.error} of the allowed error`)
  }
})

test('conv2d reads and writes shared memory without bank conflicts', (t) => {
  for (const one of convolutions()) t.is(one.counters.conflictFactor, 1, one.case)
})

test('conv2d reads the image itself, not nine copies of it', (t) => {
  const { counters } = cases.find((one) => one.case === '3x3 of 32 channels, 128x128')!
  const elements = 144 * 32 + 136 * 9 * 32 + 144 * 16 + 136 * 16
  t.is(counters.dramReadBytes, 2 * elements + 4 * 136)
  t.is(counters.dramWrittenBytes, 2 * 144 * 136)
})

test('the gradient by the image reads gradients and weights once, and multiplies no zeros between strides', (t) => {
  const plain = cases.find((one) => one.case === '3x3 of 32 channels, 128x128, gradient')!.counters
  t.is(plain.dramReadBytes, 2 * (144 * 136 + 136 * 9 * 32 + 144 * 16 + 16 * 9 * 32))
  t.is(plain.dramWrittenBytes, 2 * 144 * 32)
  const name = 'stride 2 of 144 channels, 128x64, gradient'
  const strided = cases.find((one) => one.case === name)!.counters
  // 36 pixels of each residue lie in one tile of rows, 144 channels in three tiles of columns; of 24 outputs behind
  // 1, 2, 2 and 4 taps the reduction takes 1, 2, 2 and 3 steps of 32.
  t.is(strided.tensorFlops, 2 * 128 * (3 * 64) * 32 * (1 + 2 + 2 + 3))
  t.is(strided.dramWrittenBytes, 2 * 144 * 144)
})

test('indices are divided exactly', (t) => {
  t.is(cases.find((one) => one.case === 'division')!.wrong, 0)
})
