/** The emulated instructions give what plain loops give, and the counters what can be counted by hand. */
import test from 'ava'
import { type Case, type Counters, runProgram } from '../../helpers/cuda-sim'

interface Fields {
  error?: number
  wrong?: number
  counters?: Counters
}
let cases: Case<Fields>[] = []
const named = (name: string) => cases.filter((one) => one.case === name)
test.before(() => {
  cases = runProgram('sim/instructions')
})

test('nothing is a fault', (t) => {
  t.deepEqual(cases.filter((one) => one.fault).map((one) => one.fault!.message), [])
})

test('fragments lie where the PTX manual puts them', (t) => {
  t.is(named('layouts')[0]!.wrong, 0)
})

test('mma and ldmatrix agree with plain loops to the rounding of f32 sums, checked or not', (t) => {
  for (const name of ['mma m16n8k16', 'mma m16n8k8', 'ldmatrix', 'ldmatrix.trans']) {
    t.is(named(name).length, 2)
    // At most 17 roundings to 24 bits, each relative to a partial sum no larger than the sum of the terms' sizes.
    for (const one of named(name)) t.true(one.error! <= 17 * 2 ** -24, `${name}: ${one.error}`)
  }
})

test('shuffles, votes and the rounding to bf16 are those of the hardware', (t) => {
  t.is(named('exchange')[0]!.wrong, 0)
  t.is(named('rounding')[0]!.wrong, 0)
})

test('sectors, bytes and bank conflicts are counted as the hardware would serve the requests', (t) => {
  const contiguous = named('contiguous, conflicts')[0]!.counters!
  t.is(contiguous.loadSectors, 4)
  t.is(contiguous.storeSectors, 4)
  t.is(contiguous.sectorFactor, 1)
  t.is(contiguous.dramReadBytes, 128)
  t.is(contiguous.dramWrittenBytes, 128)
  // 32 rows written without a conflict, then one column of them read: all in one bank.
  t.is(contiguous.sharedWavefronts, 32 + 32)
  t.is(contiguous.conflictFactor, 64 / 33)
  t.is(contiguous.warpBarriers, 1)

  const strided = named('strided, padded')[0]!.counters!
  t.is(strided.loadSectors, 32)
  t.is(strided.loadBytes, 128)
  t.is(strided.sectorFactor, 8)
  t.is(strided.dramReadBytes, 32 * 32)
  t.is(strided.sharedWavefronts, 33)
  t.is(strided.conflictFactor, 1)
})

test('the copies of a warp belong together by their turn, also where some lanes copy nothing', (t) => {
  const { loadBytes, loadSectors, sectorFactor } = named('copies')[0]!.counters!
  t.is(loadBytes, 16 * 16 + 32 * 16)
  t.is(loadSectors, 8 + 16)
  t.is(sectorFactor, 1)
})

test('the roofline is the time of the busiest unit', (t) => {
  const { roofline, dramReadBytes, dramWrittenBytes } = named('contiguous, conflicts')[0]!.counters!
  const card = roofline['RTX 3060 12GB']!
  t.is(card.bound, 'shared') // one block of 28: 64 wavefronts at 1.78 GHz take longer than 256 bytes at 360 GB/s
  t.true(Math.abs(card.us - 64 / 1780) < 1e-6)
  t.true(card.us > (dramReadBytes + dramWrittenBytes) / 360e3)
})
