import test from 'ava'
import { type Case, type Counters, runProgram } from '../helpers/cuda-sim'

let cases: Case<{ different: number; otherThanZero: number; counters: Counters }>[] = []
let bytes = ''
test.before(() => {
  const [first, ...rest] = runProgram<{ bytes: string } & (typeof cases)[number]>('dequantise')
  bytes = first!.bytes
  cases = rest
})

test('two codes of nf4 share a byte as in bitsandbytes', (t) => {
  t.is(bytes, '0123456789abcdef0700')
})

test('dequantise gives the bits of the CPU for matrices of any shape and place, without a fault', (t) => {
  t.is(cases.length, 30)
  for (const one of cases) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.is(one.different, 0, one.case)
    t.true(one.otherThanZero > 0, one.case)
  }
})

test('dequantise reads codes and scales once and writes values once, in whole sectors', (t) => {
  const scales = { nf4: 320, int8: 64, fp8: 64 }
  for (const [storage, count] of Object.entries(scales)) {
    for (const [dtype, size] of [['f32', 4], ['bf16', 2]] as const) {
      const { counters } = cases.find((one) => one.case === `${storage} [64, 320] to ${dtype}`)!
      t.is(counters.sectorFactor, 1)
      t.is(counters.dramReadBytes, (64 * 320) / (storage === 'nf4' ? 2 : 1) + 4 * count)
      t.is(counters.dramWrittenBytes, 64 * 320 * size)
    }
  }
})

test('dequantise uses shared memory without bank conflicts', (t) => {
  for (const one of cases) t.is(one.counters.conflictFactor, 1, one.case)
})
