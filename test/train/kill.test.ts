import test from 'ava'
import { killAndResume } from '../../scripts/bench/kill-resume'

test('a run that is killed twice and resumed gives the file of a run in one go', async (t) => {
  const { kills, whole, resumed } = await killAndResume({ kills: 2, steps: 12, seed: 3 })
  t.is(kills.length, 2)
  t.true(kills.some(({ afterSteps }) => afterSteps > 0))
  t.is(resumed, whole)
})
