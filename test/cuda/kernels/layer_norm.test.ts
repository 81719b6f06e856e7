import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

let cases: Case<{ error: number; bytes: number; counters: Counters }>[] = []
test.before(() => {
  cases = runProgram('kernels/layer_norm')
})

test('layer_norm normalises rows of any length and mean to one rounding, without a fault', (t) => {
  t.is(cases.length, 40)
  for (const one of cases) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.true(one.error <= 1, `${one.case}: ${one.error} of the allowed error`)
  }
})

test('layer_norm reads every row once', (t) => {
  const { bytes, counters } = cases.find((one) => one.case === 'bf16 4 x 1280')!
  t.is(counters.dramReadBytes + counters.dramWrittenBytes, bytes)
  t.is(counters.loadBytes, 4 * 1280 * (2 + 8)) // gamma and beta come from the cache for the rows after the first
  const alone = cases.find((one) => one.case === 'bf16 4 x 1280, alone')!
  t.is(alone.counters.loadBytes, 4 * 1280 * 2)
})

test('layer_norm asks for whole sectors', (t) => {
  const factor = (name: string) => cases.find((one) => one.case === name)!.counters.sectorFactor
  t.is(factor('f32 4 x 1280'), 1)
  // In bf16 a lane's 8 columns are 32 bytes of gamma and of beta, which take two requests for halves of sectors.
  t.true(factor('bf16 4 x 1280') < 5 / 3)
})
