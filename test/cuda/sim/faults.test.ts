/** Every mistake seeded in faults.cc is caught, at the line marked there; the kernels without one pass. */
import test from 'ava'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Case, runProgram } from '../../helpers/cuda-sim'

const source = readFileSync(join(__dirname, 'faults.cc'), 'utf8').split('\n')

/** Lines with `// fault: a, b`; alone on a line it marks the next one. */
function markedLines(name: string): number[] {
  return source.flatMap((text, index) => {
    const mark = text.match(/^(.*)\/\/ fault: (.*)$/)
    if (!mark || !(mark[2] === name || mark[2]!.split(', ').includes(name))) return []
    return [mark[1]!.trim() === '' ? index + 2 : index + 1]
  })
}

/** What must be reported, with a part of the message. Both threads of a race may be the one that is caught. */
const expected: Record<string, [kind: string, message: RegExp]> = {
  'global past its end': ['bounds', /thread 56 of block 0 writes 4 bytes at data\[256\], which has 256 elements/],
  'global before its start': ['bounds', /thread 0 of block 0 reads 4 bytes at data\[-3\]/],
  'vector past the end': ['bounds', /thread 63 of block 0 reads 16 bytes at data\[252\], which has 254 elements/],
  'shared past its end': ['bounds', /writes 4 bytes at byte 128 of shared array sums, which has 128/],
  'dynamic shared array beyond what was launched with': ['bounds', /tiles at bytes 64 to 576 of 512/],
  'cp.async past the end': ['bounds', /thread 63 of block 0 copies 16 bytes from data\[256\]/],
  'misaligned vector': ['misaligned', /reads 16 bytes at data\[1\]/],
  'null pointer': ['bounds', /a null pointer/],
  'uninitialised shared memory': ['uninitialised', /thread 63 of block 0 reads byte 252 of shared array sums/],
  'what an earlier block left': ['uninitialised', /of block 1 reads byte 0 of shared array sums/],
  'missing barrier': ['race', /of shared array values, (read|written) by thread \d+ .* with no barrier between/],
  'read before it is written': ['uninitialised', /reads byte 128 of shared array values/],
  'missing barrier before overwriting': ['race', /of shared array values/],
  'two writers': ['race', /thread 1 of block 0 writes byte 0 of shared array values, written by thread 0/],
  'missing warp barrier': ['race', /of shared array values/],
  'barrier of half a warp': ['race', /reads byte 64 of shared array values, written by thread 16/],
  'pipeline waits for nothing': ['async_copy', /the cp.async of thread 32 .* has not been waited for/],
  'pipeline waits for one group too few': ['async_copy', /reads byte 0 of shared array tiles/],
  'pipeline without a barrier': ['uninitialised', /reads byte 1536 of shared array tiles/],
  'overwritten on its way': ['async_copy', /writes byte 0 of shared array tile while the cp.async/],
  'barrier that half of the block skips': ['barrier_divergence', /while thread 32 has finished/],
  'different barriers': ['barrier_divergence', /while thread 32 waits in another one at faults.cc:\d+/],
  'shuffle without a lane': ['collective_divergence', /shuffle_xor.* 1 of the 32 lanes .* lane 5 has finished/],
  'shuffle beyond its mask': ['collective_divergence', /takes a value from lane 16/],
  'lane outside its mask': ['collective_divergence', /thread 31 of block 0 calls ballot/],
  'mma at two places': ['collective_divergence', /waits in mma, which 16 of the 32 lanes/],
  'two threads write one element': ['race', /thread 1 of block 0 writes data\[0\], written by thread 0/],
  "another block's result": ['race', /thread 0 of block 1 reads data\[0\], written by other threads/],
  'plain read beside atomics': ['race', /thread 63 of block 0 reads count\[0\]/],
  'write to what may only be read': ['read_only', /writes weights\[0\]/],
  'pointer into no buffer': ['bounds', /leads into no buffer/],
  'block of 48 threads': ['launch', /a multiple of 32/],
  'too much shared memory': ['launch', /102400 bytes of shared memory/],
}

let cases: Case<object>[] = []
test.before(() => {
  cases = runProgram('sim/faults')
})

test('every seeded mistake is caught, with its kind, its line and a message that names what was touched', (t) => {
  const wrong = cases.filter((one) => !one.case.startsWith('ok: '))
  t.deepEqual(wrong.map((one) => one.case).sort(), Object.keys(expected).sort())
  for (const one of wrong) {
    const [kind, message] = expected[one.case]!
    t.is(one.fault?.kind, kind, one.case)
    t.regex(one.fault!.message, message)
    const lines = markedLines(one.case)
    if (lines.length > 0) t.true(lines.includes(one.fault!.line), `${one.case}: ${one.fault!.message}, marked ${lines}`)
  }
})

test('kernels without a mistake pass', (t) => {
  const right = cases.filter((one) => one.case.startsWith('ok: '))
  t.true(right.length >= 9)
  for (const one of right) t.is(one.fault, undefined, `${one.case}: ${one.fault?.message}`)
})
