/** `lorikeet bench`: seconds per training step and memory, by rank. */
import type { Argv } from 'yargs'
import { writeFileAtomic } from '../../base/atomic-file'
import { LorikeetError } from '../../base/errors'
import { formatBytes } from '../../base/units'
import { latentDownscale } from '../../models/families/sd15'
import { notesOn } from '../../pipeline/base-precision'
import type { Device } from '../../pipeline/device'
import { drawBenchmarks } from '../../train/benchmark-chart'
import { benchmarkStep, type Benchmark, type BenchmarkOptions, type OpProfile } from '../../train/benchmark'
import { measureMatmulRate } from '../../train/matmul-rate'
import { baseOptions, baseOptionsFrom, deviceArguments, deviceFrom, jsonArgument } from '../arguments'
import { defineCommand } from '../command'
import { loadingBar, storageNote } from '../loading'
import { createRenderer, table, type Bar, type Renderer } from '../render'

const options = {
  base: { type: 'string', default: 'random:sd15', describe: 'Checkpoint, folder, demo, or random:sd15 (full size, random weights)' },
  ...baseOptions,
  ranks: { type: 'string', default: '8,16,32,64,128', describe: 'LoRA ranks, one after the other' },
  size: { type: 'number', default: 512, describe: 'Side of the images in pixels' },
  batch: { type: 'number', default: 1, describe: 'Images per step' },
  steps: { type: 'number', default: 5, describe: 'Timed steps of each rank; one more runs before them' },
  checkpointing: { choices: ['none', 'blocks'] as const, default: 'none' as const, describe: 'blocks: recompute activations' },
  profile: { type: 'boolean', default: false, describe: 'Where the time goes: one more step, op by op' },
  peak: { type: 'boolean', default: false, describe: 'Measure large matrix products first, and give the share of their rate' },
  svg: { type: 'string', requiresArg: true, describe: 'Also draw the result into this file' },
} as const

const build = (parser: Argv) => jsonArgument(deviceArguments(parser.options(options)))
type Arguments = ReturnType<typeof build> extends Argv<infer Options> ? Options : never

export const benchCommand = defineCommand<Arguments>({
  command: 'bench',
  describe: 'Measure speed and memory of training steps',
  builder: build,
  handler: run,
})

async function run(args: Arguments): Promise<void> {
  const renderer = createRenderer(args.json)
  const ranks = checkArguments(args)
  const { size, batch } = args
  const device = deviceFrom(args)
  for (const note of notesOn(device, args['base-precision'])) renderer.say(note)
  const heading = `${args.base}, ${size}x${size}, batch ${batch}, ${device.computeDtype}, on ${device.name} (${device.description})`
  renderer.print(heading, { event: 'bench', base: args.base, size, batch, device: device.name, description: device.description, dtype: device.computeDtype })

  const peak = args.peak ? await measureMatmulRate(device) : undefined
  if (peak !== undefined) renderer.print(`Large matrix products: ${(peak / 1e12).toFixed(2)} TFLOP/s`, { event: 'peak', flopsPerSecond: peak })

  const results: Benchmark[] = []
  for (const rank of ranks) {
    const onStored = rank === ranks[0] ? storageNote(renderer) : undefined // the base is the same for all ranks
    const result = await measure(renderer, { args, rank, device, ...(onStored && { onStored }) })
    results.push(result)
    renderer.print(undefined, { event: 'rank', ...result })
    if (result.profile) renderer.print(`\nRank ${rank}, one step\n${renderProfile(result.profile)}`)
  }
  const rows = results.map((result) => [...rowOf(result, batch), ...shareOf(result, peak)])
  renderer.print(`\n${table([[...columns, ...(peak === undefined ? [] : ['of peak'])], ...rows])}`)
  if (args.svg === undefined) return
  writeFileAtomic(args.svg, drawBenchmarks(heading, results))
  renderer.print(`Drawn into ${args.svg}`, { event: 'svg', file: args.svg })
}

function shareOf({ flops, median }: Benchmark, peak: number | undefined): string[] {
  return peak === undefined ? [] : [`${((100 * flops) / median / peak).toFixed(0)}%`]
}

function checkArguments({ ranks, size, batch, steps }: Arguments): number[] {
  for (const [where, value] of Object.entries({ size, batch, steps }))
    if (!Number.isInteger(value) || value < 1 || (where === 'size' && value % latentDownscale !== 0))
      throw new LorikeetError('usage', `must be a whole number from 1${where === 'size' ? `, and a multiple of ${latentDownscale}` : ''}`, {
        where: `--${where}`,
        received: String(value),
      })
  const list = ranks.split(',').map(Number)
  if (list.every((rank) => Number.isInteger(rank) && rank >= 1 && rank <= 256)) return list
  throw new LorikeetError('usage', 'is no list of ranks from 1 to 256', { where: '--ranks', expected: 'e.g. 8,16', received: ranks })
}

async function measure(
  renderer: Renderer,
  { args, rank, device, onStored }: { args: Arguments; rank: number; device: Device; onStored?: BenchmarkOptions['onStored'] },
): Promise<Benchmark> {
  const { base, size, batch, steps, profile, checkpointing } = args
  let bar: Bar | undefined
  try {
    return await benchmarkStep({
      base,
      device,
      rank,
      size,
      batch,
      steps,
      profile,
      checkpointing,
      ...baseOptionsFrom(args),
      onProgress: loadingBar(renderer),
      ...(onStored && { onStored }),
      onStep: (step, seconds) => (bar ??= renderer.bar(`Rank ${rank}`, steps)).update(step, `${seconds.toFixed(3)} s`),
    })
  } finally {
    bar?.end()
  }
}

const columns = ['rank', 's/step', 'fastest', 'it/s', 'images/s', 'TFLOP', 'TFLOP/s', 'arena', 'weights', 'packed', 'buffers', 'peak RSS']

function rowOf({ rank, median, min, flops, memory, peakRss }: Benchmark, batch: number): string[] {
  return [
    String(rank),
    median.toFixed(3),
    min.toFixed(3),
    (1 / median).toFixed(3),
    (batch / median).toFixed(3),
    (flops / 1e12).toFixed(3),
    (flops / 1e12 / median).toFixed(3),
    ...[memory.arena, memory.weights, memory.packed, memory.buffers, peakRss].map(formatBytes),
  ]
}

/** Ops that were slow, by kind and one by one. */
function renderProfile({ ops, labels }: OpProfile): string {
  const total = ops.reduce((ms, entry) => ms + entry.ms, 0)
  const share = (ms: number) => `${((100 * ms) / total).toFixed(1)}%`
  const kinds = ops.map(({ op, ms, calls, flops }) => [
    op,
    ms.toFixed(1),
    share(ms),
    String(calls),
    flops > 0 ? (flops / 1e9 / ms).toFixed(3) : '',
  ])
  const single = labels.slice(0, 20).map(({ op, label, ms, calls }) => [`${op} ${shorten(label)}`, ms.toFixed(1), share(ms), String(calls)])
  return [
    table([['op', 'ms', 'share', 'calls', 'TFLOP/s'], ...kinds, ['all', total.toFixed(1), '', '', '']]),
    '',
    table([['slowest', 'ms', 'share', 'calls'], ...single]),
  ].join('\n')
}

/** Fused layers have long names: q+k+v all spelt out. */
function shorten(label: string): string {
  const longest = 72
  return label.length <= longest ? label : `${label.slice(0, longest - 23)}...${label.slice(-20)}`
}
