/**
 * Rates of the matrix ops on the shapes of Stable Diffusion 1.5 at 512x512, in GFLOP/s and as a share of the best rate
 * that any of them reached in the same run.
 *
 *     npx ts-node --transpile-only scripts/bench/matmul.ts [f32|bf16] [threads] [filter]
 *
 * Each op runs some dozen times in one program; the time is the smallest of several. With one thread it is processor
 * time, so that other load on the machine hardly disturbs.
 */
import { formatVersion, type Program, type ProgramTensor } from '../../lib/graph/program'
import { devices, openEngine, type Engine, type Values } from '../../lib/native'

type DType = 'f32' | 'bf16'

interface Operand {
  shape: number[]
  dtype?: 'f32'
  space?: 'weight' | 'buffer'
}

interface Case {
  name: string
  op: string
  inputs: (Operand | undefined)[]
  outputs: Operand[]
  attributes: Program['instructions'][number]['attributes']
  flops: number
}

const noAdapters = { adapters: 0 }

function lowRank(n: number, rank: number) {
  return { adapters: 1, up_adapter: [0], up_column: [0], up_rank: [0], scale: [0.5], n, rank }
}

function linear(m: number, n: number, k: number, rank = 0): Case {
  const adapter: Operand[] = rank
    ? [
        { shape: [rank, k], space: 'buffer' },
        { shape: [n, rank], space: 'buffer' },
      ]
    : []
  return {
    name: `linear ${m}x${n}x${k}${rank ? ` rank ${rank}` : ''}`,
    op: 'linear',
    inputs: [
      { shape: [m, k] },
      { shape: [n, k], space: 'weight' },
      { shape: [n], dtype: 'f32', space: 'weight' },
      ...adapter,
    ],
    outputs: [{ shape: [m, n] }, ...(rank ? [{ shape: [m, rank] }] : [])],
    attributes: rank ? lowRank(n, rank) : noAdapters,
    flops: 2 * m * (n * k + rank * (n + k)),
  }
}

function linearInputGrad(m: number, n: number, k: number, rank = 0): Case {
  return {
    name: `linear_input_grad ${m}x${n}x${k}${rank ? ` rank ${rank}` : ''}`,
    op: 'linear_input_grad',
    inputs: [
      { shape: [m, n] },
      { shape: [n, k], space: 'weight' },
      ...(rank ? [{ shape: [m, rank] }, { shape: [rank, k], space: 'buffer' as const }] : []),
    ],
    outputs: [{ shape: [m, k] }],
    attributes: { adapters: rank ? 1 : 0 },
    flops: 2 * m * k * (n + rank),
  }
}

function lowRankDh(m: number, n: number, rank: number): Case {
  return {
    name: `low_rank_dh ${m}x${n} rank ${rank}`,
    op: 'low_rank_dh',
    inputs: [{ shape: [m, n] }, { shape: [n, rank], space: 'buffer' }],
    outputs: [{ shape: [m, rank] }],
    attributes: { up_column: [0], up_rank: [0], scale: 0.5, rank },
    flops: 2 * m * n * rank,
  }
}

function weightGrad(m: number, n: number, k: number): Case {
  return {
    name: `linear_weight_grad ${n}x${k} over ${m}`,
    op: 'linear_weight_grad',
    inputs: [{ shape: [m, n] }, { shape: [m, k] }],
    outputs: [{ shape: [n, k], dtype: 'f32', space: 'buffer' }],
    attributes: { y_column: 0, x_column: 0, scale: 1 },
    flops: 2 * m * n * k,
  }
}

function conv(
  op: 'conv2d' | 'conv2d_input_grad' | 'conv2d_weight_grad',
  size: number,
  c: number,
  o: number,
  k = 3,
  stride = 1,
): Case {
  const to = size / stride
  const p = k === 3 ? 1 : 0
  const x: Operand = { shape: [1, size, size, c] }
  const y: Operand = { shape: [1, to, to, o] }
  const w: Operand = { shape: [o, k, k, c], space: 'weight' }
  const operands = {
    conv2d: { inputs: [x, w, { shape: [o], dtype: 'f32', space: 'weight' } as Operand], outputs: [y] },
    conv2d_input_grad: { inputs: [y, w], outputs: [x] },
    conv2d_weight_grad: { inputs: [y, x], outputs: [{ shape: w.shape, dtype: 'f32', space: 'buffer' } as Operand] },
  }
  return {
    name: `${op} ${k}x${k} ${c}->${o} at ${size}${stride > 1 ? ` stride ${stride}` : ''}`,
    op,
    ...operands[op],
    attributes: { stride, padding: [p, p, p, p], adapters: 0, scale: op === 'conv2d_weight_grad' ? 1 : [] },
    flops: 2 * to * to * o * c * k * k,
  }
}

const cases: Case[] = [
  ...[
    [4096, 320, 320],
    [4096, 2560, 320],
    [4096, 320, 1280],
    [1024, 640, 640],
    [1024, 5120, 640],
    [1024, 640, 2560],
    [256, 1280, 1280],
    [256, 10240, 1280],
    [256, 1280, 5120],
    [64, 1280, 1280],
    [77, 320, 768],
    [1, 1280, 320],
  ].flatMap(([m, n, k]) => [
    linear(m!, n!, k!),
    ...[8, 16, 128].map((rank) => linear(m!, n!, k!, rank)),
    linearInputGrad(m!, n!, k!),
    ...[8, 16, 128].map((rank) => linearInputGrad(m!, n!, k!, rank)),
  ]),
  ...[8, 16, 128].flatMap((r) => [
    lowRankDh(4096, 320, r),
    lowRankDh(256, 1280, r),
    weightGrad(4096, r, 320),
    weightGrad(4096, 320, r),
    weightGrad(1024, r, 640),
    weightGrad(1024, 640, r),
    weightGrad(256, r, 1280),
    weightGrad(256, 1280, r),
    weightGrad(1024, 5120, r),
    weightGrad(256, r, 5120),
    weightGrad(77, r, 768),
  ]),
  weightGrad(4096, 320, 320),
  weightGrad(256, 1280, 1280),
  ...(['conv2d', 'conv2d_input_grad', 'conv2d_weight_grad'] as const).flatMap((op) => [
    conv(op, 64, 320, 320),
    conv(op, 64, 960, 320),
    conv(op, 32, 640, 640),
    conv(op, 16, 1280, 1280),
    conv(op, 8, 1280, 1280),
    conv(op, 64, 320, 320, 3, 2),
    conv(op, 64, 4, 320),
    conv(op, 64, 320, 4),
    conv(op, 64, 320, 16),
  ]),
]

function programOf(
  engine: Engine,
  test: Case,
  dtype: DType,
  calls: number,
): { program: Program; values: Record<string, Values>; ready: Promise<unknown> } {
  const { name, op, inputs, outputs, attributes } = test
  let arenaBytes = 0
  const tensors: ProgramTensor[] = []
  const values: Record<string, Values> = {}
  const weights: Parameters<Engine['addWeights']>[0][number][] = []
  const place = (operand: Operand | undefined, i: number, side: string): number => {
    if (!operand) return -1
    const { shape, space = 'arena' } = operand
    const count = shape.reduce((a, b) => a * b, 1)
    const type = operand.dtype ?? dtype
    const label = `${name} ${side}${i}`
    const offset = space === 'arena' ? arenaBytes : 0
    if (space === 'arena') arenaBytes += Math.ceil((count * 4) / 64) * 64
    if (space === 'weight')
      weights.push({
        name: label,
        dtype: type,
        shape,
        sources: [{ kind: 'normal', seed: 1, stream: i, std: 0.02, shape }],
      })
    if (space === 'buffer') engine.createBuffer(label, count * (type === 'f32' ? 4 : 2))
    if (space === 'arena' && side === 'i')
      values[label] = Float32Array.from({ length: count }, (_, at) => ((at * 7919) % 1000) / 500 - 1)
    tensors.push({ dtype: type, shape, space, offset, name: label })
    return tensors.length - 1
  }
  const from = inputs.map((operand, i) => place(operand, i, 'i'))
  const to = outputs.map((operand, i) => place(operand, i, 'o'))
  const program: Program = {
    version: formatVersion,
    label: name,
    arenaBytes,
    tensors,
    instructions: Array.from({ length: calls }, () => ({ op, inputs: from, outputs: to, attributes })),
    inputs: tensors.flatMap((tensor, i) => (tensor.name in values ? [{ name: tensor.name, tensor: i }] : [])),
    outputs: [],
  }
  return { program, values, ready: engine.addWeights(weights) }
}

/** Milliseconds a call: what `calls` more calls in a run take longer, so that the run's own cost falls out. */
async function measure(test: Case, dtype: DType, threads?: number): Promise<number> {
  const engine = openEngine({ device: 'cpu', computeDtype: dtype, threads })
  const calls = Math.max(2, Math.min(200, Math.round(1e10 / test.flops)))
  const runs = []
  for (const count of [1, 1 + calls]) {
    const { program, values, ready } = programOf(engine, test, dtype, count)
    await ready
    runs.push([{ program: engine.compile(program), inputs: values }])
  }
  const now = () =>
    threads === 1 ? process.cpuUsage().user / 1000 + process.cpuUsage().system / 1000 : performance.now()
  const best = [Infinity, Infinity]
  for (let repeat = 0; repeat < 5; repeat++)
    for (const [i, run] of runs.entries()) {
      const start = now()
      await engine.run(run)
      best[i] = Math.min(best[i]!, now() - start)
    }
  engine.close()
  return (best[1]! - best[0]!) / calls
}

async function main(): Promise<void> {
  const [dtype = 'bf16', threads, filter = ''] = process.argv.slice(2)
  const { description, isa, threads: all } = devices()[0]!
  console.log(`${description}, ${isa}, ${threads ?? all} threads, ${dtype}`)
  const results: { test: Case; ms: number; rate: number }[] = []
  for (const test of cases.filter(({ name }) => new RegExp(filter).test(name))) {
    const ms = await measure(test, dtype as DType, threads ? Number(threads) : undefined)
    results.push({ test, ms, rate: test.flops / ms / 1e6 })
  }
  const peak = Math.max(...results.map(({ rate }) => rate))
  for (const { test, ms, rate } of results)
    console.log(
      `${test.name.padEnd(48)} ${ms.toFixed(3).padStart(9)} ms ${rate.toFixed(0).padStart(6)} GFLOP/s ` +
        `${((100 * rate) / peak).toFixed(0).padStart(4)} %`,
    )
}

void main()
