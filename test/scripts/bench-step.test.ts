import test from 'ava'
import { compare, mergeTurns, parseOurs, parsePeer } from '../../scripts/bench/step'

const peer = `trainable 3188736 frozen 859520964
step 0 9.00s fwd 4.00 bwd 4.50 opt 0.50 loss 1.1000
step 1 4.00s fwd 1.50 bwd 2.40 opt 0.10 loss 1.0900
step 2 3.00s fwd 1.40 bwd 1.50 opt 0.10 loss 1.0800
median 3.5 peakRSS_GiB 4.5
`

test('the steps of a peer are read without the first', (t) => {
  t.deepEqual(parsePeer(peer), { seconds: [4, 3], peakRss: 4.5 * 2 ** 30 })
})

test('a peer that prints its median alone is read too, and one that prints nothing is an error', (t) => {
  t.deepEqual(parsePeer('median 2.5\n').seconds, [2.5])
  t.throws(() => parsePeer('Traceback\n'), { message: /Traceback/ })
})

test('our own result is found among the records', (t) => {
  const record = { event: 'rank', rank: 16, seconds: [1, 2], peakRss: 100, flops: 5 }
  t.deepEqual(parseOurs(`{"event":"bench"}\n${JSON.stringify(record)}\n`), { seconds: [1, 2], peakRss: 100, flops: 5 })
  t.throws(() => parseOurs('{"event":"bench"}\n'))
})

test('turns are joined, and ratios are ours over theirs', (t) => {
  const ours = mergeTurns([
    { seconds: [1, 2], peakRss: 2 ** 30 },
    { seconds: [3], peakRss: 2 ** 31 },
  ])
  t.deepEqual(ours, { seconds: [1, 2, 3], peakRss: 2 ** 31 })
  const lines = compare(ours, { seconds: [4, 5, 8], peakRss: 2 ** 32 }).split('\n')
  t.regex(lines[1]!, /median\s+2\.000 s\s+5\.000 s\s+0\.400/)
  t.regex(lines[2]!, /fastest\s+1\.000 s\s+4\.000 s\s+0\.250/)
  t.regex(lines[3]!, /peak RSS\s+2\.00 GiB\s+4\.00 GiB\s+0\.500/)
  t.is(compare(ours, undefined).split('\n')[0]!.trim(), 'ours')
})
