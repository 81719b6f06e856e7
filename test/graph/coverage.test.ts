import test from 'ava'
import { ops } from '../../lib/graph/ops'
import { devices, kernels } from '../../lib/native'

test('no two ops of the registry share a name, and each is named as its file', (t) => {
  t.deepEqual(
    [...new Set(ops.map((op) => op.name))],
    ops.map((op) => op.name),
  )
  for (const { name } of ops) t.regex(name, /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/)
})

for (const { name: device } of devices())
  test(`the ${device} device has a kernel for every op, and no kernel without an op`, (t) => {
    t.deepEqual([...kernels(device)].sort(), ops.map((op) => op.name).sort())
  })
