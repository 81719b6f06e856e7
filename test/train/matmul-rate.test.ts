import test from 'ava'
import { openDevice } from '../../lib/pipeline/device'
import { measureMatmulRate } from '../../lib/train/matmul-rate'

test('the rate of matrix products is one that a processor can have', async (t) => {
  const rate = await measureMatmulRate(openDevice('cpu', { threads: 1 }), 1)
  t.true(rate > 1e9 && rate < 1e15, `${rate / 1e9} GFLOP/s`)
})
