/** The tile that a product takes as long as nobody has measured. */
import test from 'ava'
import { runProgram } from '../../helpers/cuda-sim'

test('small outputs get small tiles, those as wide as a rank the thinnest, and each card what fills it', (t) => {
  const { case: _, ...chosen } = runProgram<Record<string, string>>('gemm/tile_choice')[0]!
  t.deepEqual(chosen, {
    large: '128x128',
    small: '64x64',
    middle: '128x64',
    middleOnLargeCard: '64x64',
    rank: '32x16',
    largeF32: '128x64',
    rankF32: '64x64',
  })
})
