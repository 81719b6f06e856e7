/** Products that open a quantised weight on their way, in the emulator: results, and how they use the card. */
import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

interface Fields {
  different: number
  otherThanZero: number
  counters: Counters
}
let cases: Case<Fields>[] = []
let rule: Record<string, number> = {}
let refusal = ''
test.before(() => {
  const [first, second, ...rest] = runProgram<Fields & Record<string, number> & { thrown: string }>('gemm/stored_matmul')
  rule = first!
  refusal = second!.thrown
  cases = rest
})
const named = (start: string) => cases.filter((one) => one.case.startsWith(start))

test('results have the bits of the product with the opened weight, without a fault', (t) => {
  t.is(cases.length, 6 * 3 * 2)
  for (const one of cases) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.is(one.different, 0, one.case)
    t.true(one.otherThanZero > 0, one.case)
  }
})

test('codes are read and values written in shared memory without bank conflicts', (t) => {
  for (const one of cases) t.is(one.counters.conflictFactor, 1, one.case)
})

test('whole tiles move no sector that is not needed', (t) => {
  const whole = named('whole tiles')
  t.is(whole.length, 6)
  for (const one of whole) t.true(one.counters.sectorFactor <= 1.1, `${one.case}: ${one.counters.sectorFactor}`)
})

test('of the weight nothing but codes and scales is read, once', (t) => {
  const [m, rows, columns, rank] = [96, 64, 128, 16]
  const scales = { nf4: (rows * columns) / 64, int8: rows, fp8: rows }
  for (const [storage, count] of Object.entries(scales)) {
    const { counters } = cases.find((one) => one.case === `whole tiles, ${storage}, k contiguous`)!
    const codes = (rows * columns) / (storage === 'nf4' ? 2 : 1)
    t.is(counters.dramReadBytes, codes + 4 * count + 2 * (m * columns + m * rank + rows * rank) + 4 * rows)
    t.is(counters.dramWrittenBytes, 2 * m * rows)
    t.is(counters.blocks, 2) // of 32 columns
    t.is(counters.blockBarriers, 2 * (1 + 2 + 1)) // a step for the adapter, two of 64 for the weight, the end
  }
})

test('weights in whole blocks are taken as they are stored where rows are few, in bf16', (t) => {
  const { few, most, pixel, more, plain, f32, shortRows, huge } = rule
  t.deepEqual([few, most, pixel], [1, 1, 1])
  t.deepEqual([more, plain, f32, shortRows, huge], [0, 0, 0, 0, 0])
  t.regex(refusal, /weight of shape \[8, 96\] stored as nf4 cannot be opened on its way/)
})
