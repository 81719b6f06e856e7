import test from 'ava'
import { floats, numbers, readFixtureTensors, relativeL2 } from '../helpers/fixture-tensors'
import { elements, expectClose, normals, randomTensor, runOp, tensor, type TestTensor } from '../helpers/run-op'

const dtypes = ['f32', 'bf16'] as const
const values = (t: TestTensor) => Array.from(t.data!)
const mean = (list: number[]) => list.reduce((sum, v) => sum + v, 0) / list.length

interface Reference {
  value: (d: number, c: number) => number
  slope: (d: number, c: number) => number
}
const kinds: Record<string, Reference> = {
  l2: { value: (d) => d * d, slope: (d) => 2 * d },
  l1: { value: Math.abs, slope: Math.sign },
  huber: { value: (d, c) => 2 * c * (Math.hypot(d, c) - c), slope: (d, c) => (2 * c * d) / Math.hypot(d, c) },
  smooth_l1: { value: (d, c) => 2 * (Math.hypot(d, c) - c), slope: (d, c) => (2 * d) / Math.hypot(d, c) },
}

for (const dtype of dtypes) {
  for (const [kind, { value, slope }] of Object.entries(kinds)) {
    test(`loss ${kind} and its backward agree with double precision in ${dtype}`, async (t) => {
      for (const shape of [[1, 1], [3, 7], [2, 3, 33], [2, 6, 684], [2, 20011]]) {
        const batch = shape[0]!
        const columns = elements(shape) / batch
        const pred = randomTensor(dtype, shape, 1)
        const target = randomTensor('f32', shape, 2)
        const weight = tensor('f32', [batch], [1, 0.25, 3].slice(0, batch))
        const c = tensor('f32', [batch], [0.125, 2, 1e-2].slice(0, batch))
        const sample = (i: number) => Math.floor(i / columns)
        // The kernel subtracts in f32, as the peers do.
        const differences = values(pred).map((v, i) => Math.fround(v - target.data![i]!))
        const terms = differences.map((d, i) => value(d, c.data![sample(i)]!))
        const expected = values(weight).map((w, n) => w * mean(terms.slice(n * columns, (n + 1) * columns)))

        const inputs = [pred, target, weight, kind === 'l2' || kind === 'l1' ? undefined : c]
        const outputs = [tensor('f32', [batch]), tensor('f32', [1])]
        const [perSample, total] = await runOp('loss', inputs, outputs, { kind })
        expectClose(t, perSample!, expected, 'f32')
        expectClose(t, total!, [mean(expected)], 'f32')

        const scale = 0.5
        const gradient = differences.map(
          (d, i) => (scale * weight.data![sample(i)]! * slope(d, c.data![sample(i)]!)) / (batch * columns),
        )
        const [dpred] = await runOp('loss_backward', inputs, [tensor(dtype, shape)], { kind, scale })
        expectClose(t, dpred!, gradient, dtype)
      }
    })
  }

  test(`sample_gaussian, gaussian_kl and their backwards agree with double precision in ${dtype}`, async (t) => {
    for (const channels of [1, 4, 33, 64]) {
      const shape = [2, 5, 13, channels]
      const [batch, count] = [2, elements(shape)]
      // Mean and log variance side by side; every eleventh log variance is beyond the limits of the clamp.
      const data = normals(2 * count, 3)
      const isLogvar = (i: number) => i % (2 * channels) >= channels
      data.forEach((v, i) => {
        if (isLogvar(i) && i % 11 === 0) data[i] = v < 0 ? -31 : 21
      })
      const moments = tensor(dtype, [2, 5, 13, 2 * channels], data)
      const eps = randomTensor('f32', shape, 4)
      const dz = randomTensor(dtype, shape, 5)
      const at = (i: number) => Math.floor(i / channels) * 2 * channels + (i % channels)
      const clamp = (v: number) => Math.min(20, Math.max(-30, v))
      const each = <R>(f: (m: number, logvar: number, raw: number, i: number) => R): R[] =>
        values(eps).map((_, i) => {
          const raw = moments.data![at(i) + channels]!
          return f(moments.data![at(i)]!, clamp(raw), raw, i)
        })

      const [z] = await runOp('sample_gaussian', [moments, eps], [tensor(dtype, shape)])
      expectClose(t, z!, each((m, v, _, i) => m + Math.exp(v / 2) * eps.data![i]!), dtype)

      const expected = new Array<number>(2 * count)
      each((_, v, raw, i) => {
        expected[at(i)] = dz.data![i]!
        expected[at(i) + channels] = v === raw ? 0.5 * Math.exp(v / 2) * eps.data![i]! * dz.data![i]! : 0
      })
      const [dmoments] = await runOp('sample_gaussian_backward', [dz, moments, eps], [tensor(dtype, moments.shape)])
      expectClose(t, dmoments!, expected, dtype)

      const terms = each((m, v) => 0.5 * (m * m + Math.exp(v) - 1 - v))
      const perSample = [mean(terms.slice(0, count / 2)), mean(terms.slice(count / 2))]
      const [gotPerSample, total] = await runOp('gaussian_kl', [moments], [tensor('f32', [batch]), tensor('f32', [1])])
      expectClose(t, gotPerSample!, perSample, 'f32')
      expectClose(t, total!, [mean(perSample)], 'f32')

      const scale = 1e-3
      each((m, v, raw, i) => {
        expected[at(i)] = (scale * m) / count
        expected[at(i) + channels] = v === raw ? (0.5 * scale * (Math.exp(v) - 1)) / count : 0
      })
      const [dkl] = await runOp('gaussian_kl_backward', [moments], [tensor(dtype, moments.shape)], { scale })
      expectClose(t, dkl!, expected, dtype)
    }
  })
}

test('the variants of kohya-ss/sd-scripts follow from the weight and huber_c of their timesteps', async (t) => {
  const fixture = readFixtureTensors('sd15-tiny', 'loss.safetensors')
  const schedule = readFixtureTensors('sd15-tiny', 'schedule.safetensors')
  const timesteps = numbers(fixture, 't')
  const table = (name: string) => timesteps.map((step) => numbers(schedule, name)[step]!)
  const variants: Record<string, { kind: string; weight?: string; c?: string }> = {
    l2: { kind: 'l2' },
    l1: { kind: 'l1' },
    huber_snr: { kind: 'huber', c: 'snr' },
    huber_exponential: { kind: 'huber', c: 'exponential' },
    huber_constant: { kind: 'huber', c: 'constant' },
    smooth_l1_snr: { kind: 'smooth_l1', c: 'snr' },
    smooth_l1_constant: { kind: 'smooth_l1', c: 'constant' },
    l2_min_snr5: { kind: 'l2', weight: 'min_snr5.eps' },
    l2_min_snr5_v: { kind: 'l2', weight: 'min_snr5.v' },
    huber_snr_min_snr5: { kind: 'huber', c: 'snr', weight: 'min_snr5.eps' },
    l2_debiased: { kind: 'l2', weight: 'debiased.eps' },
    l2_scale_v: { kind: 'l2', weight: 'scale_v_pred' },
  }
  const pred = tensor('f32', [4, 4, 4, 6], floats(fixture, 'pred'))
  const target = tensor('f32', [4, 4, 4, 6], floats(fixture, 'target'))
  for (const [name, { kind, weight, c }] of Object.entries(variants)) {
    const inputs = [
      pred,
      target,
      tensor('f32', [4], weight ? table(`weight.${weight}`) : [1, 1, 1, 1]),
      c ? tensor('f32', [4], table(`huber_c.${c}`)) : undefined,
    ]
    const [perSample, total] = await runOp('loss', inputs, [tensor('f32', [4]), tensor('f32', [1])], { kind })
    const [dpred] = await runOp('loss_backward', inputs, [tensor('f32', pred.shape)], { kind, scale: 1 })
    const expected = numbers(fixture, `per_sample.${name}`)
    const errors = [
      relativeL2(perSample!, expected),
      relativeL2(total!, [mean(expected)]),
      relativeL2(dpred!, numbers(fixture, `grad.${name}`)),
    ]
    t.true(Math.max(...errors) <= 1e-5, `${name}: ${errors}`)
  }
})

test('a NaN in one sample makes its loss and the total NaN and leaves the other samples alone', async (t) => {
  for (const kind of Object.keys(kinds)) {
    const data = normals(66, 6)
    data[40] = NaN
    const pred = tensor('f32', [2, 33], data)
    const ones = tensor('f32', [2], [1, 1])
    const inputs = [pred, randomTensor('f32', [2, 33], 7), ones, ones]
    const [perSample, total] = await runOp('loss', inputs, [tensor('f32', [2]), tensor('f32', [1])], { kind })
    t.deepEqual([...perSample!, ...total!].map(Number.isNaN), [false, true, true])
    const [dpred] = await runOp('loss_backward', inputs, [tensor('f32', [2, 33])], { kind, scale: 1 })
    t.deepEqual(Array.from(dpred!).findIndex(Number.isNaN), 40)
  }
})

test('losses are the same bits for any number of threads', async (t) => {
  const shape = [3, 50000]
  const inputs = [randomTensor('bf16', shape, 8), randomTensor('f32', shape, 9), tensor('f32', [3], [1, 2, 3])]
  const run = (threads: number) =>
    runOp('loss', inputs, [tensor('f32', [3]), tensor('f32', [1])], { kind: 'l2' }, { threads })
  const [one, two, three] = await Promise.all([1, 2, 3].map(run))
  t.deepEqual(one, two)
  t.deepEqual(one, three)
})

test('operands that do not fit are refused', async (t) => {
  const pred = randomTensor('f32', [2, 3], 10)
  const weight = tensor('f32', [2], [1, 1])
  const outputs = [tensor('f32', [2]), tensor('f32', [1])]
  const refused = (run: Promise<unknown>, message: RegExp) => t.throwsAsync(run, { message })
  await refused(runOp('loss', [pred, pred, weight], outputs, { kind: 'huber' }), /loss: kind huber needs huber_c/)
  await refused(runOp('loss', [pred, pred, weight], outputs, { kind: 'l3' }), /loss: kind is 'l3'/)
  const target = randomTensor('f32', [3, 2], 1)
  await refused(runOp('loss', [pred, target, weight], outputs, { kind: 'l2' }), /loss: target is \[3, 2\].*\[2, 3\]/)
  const wrong = tensor('bf16', [2, 3])
  await refused(runOp('loss_backward', [pred, pred, weight], [wrong], { kind: 'l2', scale: 1 }), /dpred is bf16/)
  await refused(runOp('gaussian_kl', [pred], outputs), /gaussian_kl: moments \[2, 3\] must be \[N, .., 2C\]/)
})
