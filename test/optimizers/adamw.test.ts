import test from 'ava'
import { createGraph, input, output } from '../../lib/graph/graph'
import { globalNorm } from '../../lib/graph/ops/global_norm'
import { bufferBytes, createParameterSet, flatBuffer, parameter } from '../../lib/graph/parameters'
import { openEngine } from '../../lib/native'
import { adamw } from '../../lib/optimizers/adamw'
import { lrFactor, lrSchedules } from '../../lib/optimizers/lr-schedules'
import { compileGraph } from '../../lib/pipeline/compile'
import { floats, readFixtureJson, readFixtureTensors, relativeL2 } from '../helpers/fixture-tensors'
import { testDevice } from '../helpers/test-device'

// scripts/fixtures/optimizers.py made the references with torch.optim.AdamW and transformers' get_scheduler.

interface AdamWCase {
  params: {
    groups: { lr: number; shapes: Record<string, number[]> }[]
    betas: [number, number]
    eps: number
    weight_decay: number
    max_grad_norm: number
    steps: number
  }
  tolerance: { rel_l2: number; change_rel_l2: number }
}

test('ten updates of two groups with clipping equal torch.optim.AdamW', async (t) => {
  const { params, tolerance } = readFixtureJson<AdamWCase>('optimizers', 'adamw.json')
  const tensors = readFixtureTensors('optimizers', 'adamw.safetensors')
  const set = createParameterSet('f32')
  params.groups.forEach(({ shapes }, group) => {
    for (const [name, shape] of Object.entries(shapes)) parameter(set, name, shape, { group: String(group), init: { kind: 'zeros' } })
  })
  const { betas, eps, weight_decay } = params
  const options = { kind: 'adamw' as const, betas, eps, weight_decay }
  const engine = openEngine({ device: testDevice, computeDtype: 'f32', threads: 1 })
  for (const [name, bytes] of bufferBytes(set, adamw.state(set, options))) engine.createBuffer(name, bytes, 'f32')
  const graph = createGraph('update', 'f32')
  const groups = params.groups.map((_, i) => String(i))
  const scalars = input(graph, 'scalars', [adamw.scalarCount(groups.length)])
  const norm = globalNorm(graph, flatBuffer(set, 'grads'))
  adamw.update(graph, set, { norm, scalars }, options, { groups, maxGradNorm: params.max_grad_norm })
  output(graph, 'norm', norm)
  const { handle } = compileGraph(engine, graph)

  const all = [...set.parameters.values()]
  const write = (buffer: string, prefix: string) =>
    all.forEach(({ name, offset }) => engine.writeBuffer(buffer, offset * 4, floats(tensors, `${prefix}.${name}`)))
  write('params', 'init')
  const norms = floats(tensors, 'norms')
  for (let step = 0; step < params.steps; step++) {
    write('grads', `grad.${step}`)
    const rates = params.groups.map(({ lr }) => lr)
    const [out] = await engine.run([{ program: handle, inputs: { scalars: adamw.scalars(options, step + 1, rates) } }])
    t.true(Math.abs(out!.norm![0]! / norms[step]! - 1) < 1e-6)
    for (const { name, offset, shape } of all) {
      const got = engine.readBuffer('params', offset * 4, shape.reduce((a, b) => a * b, 1))
      const distance = relativeL2(got, floats(tensors, `weights.${step}.${name}`))
      t.true(distance <= tolerance.rel_l2, `${name} after step ${step}: ${distance}`)
    }
  }
  const change = (weights: (name: string, offset: number, count: number) => Float32Array) =>
    Float64Array.from(
      all.flatMap(({ name, offset, shape }) => {
        const start = floats(tensors, `init.${name}`)
        return [...weights(name, offset, shape.reduce((a, b) => a * b, 1))].map((w, i) => w - start[i]!)
      }),
    )
  const ours = change((_, offset, count) => engine.readBuffer('params', offset * 4, count))
  const theirs = change((name) => floats(tensors, `weights.${params.steps - 1}.${name}`))
  t.true(relativeL2(ours, theirs) <= tolerance.change_rel_l2)
  engine.close()
})

interface ScheduleCase {
  kind: string
  steps: number
  warmup: number
  multipliers: number[]
}

test('learning-rate schedules equal those of transformers', (t) => {
  for (const { kind, steps, warmup, multipliers } of readFixtureJson<{ cases: ScheduleCase[] }>('optimizers', 'lr-schedules.json').cases) {
    const schedule = lrSchedules.find(({ name }) => name === kind.replace('_with_warmup', ''))!
    multipliers.forEach((expected, step) => {
      const got = lrFactor(schedule, step, { updates: steps, warmupUpdates: warmup, cycles: 0.5 })
      t.true(Math.abs(got - expected) < 1e-12, `${kind}, warm-up ${warmup}, step ${step}: ${got}, expected ${expected}`)
    })
  }
})
