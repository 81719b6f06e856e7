import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

let cases: Case<{ error: number; bytes: number; counters: Counters }>[] = []
test.before(() => {
  cases = runProgram('kernels/rms_norm')
})

test('rms_norm is that of double to one rounding, for rows of any length, without a fault', (t) => {
  t.is(cases.length, 22)
  for (const one of cases) {
    t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
    t.true(one.error <= 1, `${one.case}: ${one.error} of the allowed error`)
  }
})

test('it moves every byte once; rows in registers and longer ones', (t) => {
  for (const shape of ['2056 x 256', '64 x 64', '64 x 128', '8 x 512', '8 x 1280'])
    for (const dtype of ['bf16', 'f32']) {
      const { bytes, counters } = cases.find((one) => one.case === `${dtype} ${shape}`)!
      t.is(counters.dramReadBytes + counters.dramWrittenBytes, bytes, `${dtype} ${shape}`)
      // In bf16 a lane's 8 columns are 32 bytes of the weight, which take two requests for halves of sectors, once for
      // all rows of a warp: here one, or two; longer rows come in pieces of 4 columns.
      const most = dtype === 'f32' || shape === '8 x 1280' ? 1 : shape === '2056 x 256' ? 4 / 3 : 1.5
      t.true(counters.sectorFactor <= most, `${dtype} ${shape}: ${counters.sectorFactor}`)
    }
})
