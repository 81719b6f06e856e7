import test from 'ava'
import { LorikeetError } from '../../lib/base/errors'
import { explain } from '../../lib/cli/engine-errors'
import { openEngine } from '../../lib/native'

test('an engine that runs out of its card\'s memory ends a command with the exit code of memory', (t) => {
  const engine = openEngine({ device: 'cuda-sim', computeDtype: 'f32', memoryBudget: 2 ** 20 })
  t.teardown(() => engine.close())
  engine.createBuffer('small', 2 ** 16)
  const error = explain(t.throws(() => engine.createBuffer('large', 2 ** 21)))
  t.true(error instanceof LorikeetError)
  t.is((error as LorikeetError).exitCode, 4)
  t.regex((error as LorikeetError).message, /2 MiB for .*large.* of the 1 MiB .*lorikeet plan/)
})

test('other errors of the engine stay what they are', (t) => {
  const engine = openEngine({ device: 'cpu', computeDtype: 'f32', threads: 1 })
  t.teardown(() => engine.close())
  const error = t.throws(() => engine.readBuffer('nobody', 0, 1))
  t.is(explain(error), error)
})
