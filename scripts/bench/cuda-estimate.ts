/**
 * What a LoRA training step would cost on cards that are not here: the step's own program on the emulated device, in sampled
 * mode, where every launch is counted and a roofline gives its time (cuda/sim/cards.h). A lower bound for our kernels, not a
 * prediction: each unit of the card is taken to be busy all the time, and arithmetic outside the tensor cores costs nothing.
 *
 *     npx ts-node --transpile-only scripts/bench/cuda-estimate.ts --model sd15,sdxl --ranks 8,128 --cards "RTX 3060 12GB,RTX 4090"
 *
 * With --measured tiles are chosen by that time, as the engine does on a card (docs/cuda.md), instead of by the model.
 *
 * Prints for each the estimate beside the ideal, which is the step's flops at the tensor cores' rate, and where the time goes;
 * then for each kernel its bank conflicts and sectors against the least.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { formatBytes } from '../../lib/base/units'
import { table } from '../../lib/cli/render'
import { elements } from '../../lib/graph/tensor'
import { bufferBytes } from '../../lib/graph/parameters'
import { planMemory } from '../../lib/graph/passes/plan'
import { createProgram } from '../../lib/graph/program'
import { sd15Config, type StableDiffusionConfig } from '../../lib/models/families/sd15'
import { openEngine, type ProfileEntry, type Values } from '../../lib/native'
import { openBaseModel } from '../../lib/pipeline/base-model'
import { trainerSchema } from '../../lib/recipe/trainer-options'
import { buildStep, buildUpdate, stateBuffers } from '../../lib/train/step'
import { createStepContext } from '../../lib/train/trainer'

/** Multiply-adds of a card's tensor cores, as in cuda/sim/cards.cc. */
const tflops: Record<string, number> = {
  'RTX 3060 12GB': 25.5,
  'RTX 3090': 71.2,
  'RTX 4070': 58.3,
  'RTX 4090': 165.2,
  'RTX 5070': 61.7,
  'RTX 5090': 209.5,
  'H100 SXM': 620,
}

/** SDXL's UNet by the sizes of stabilityai/stable-diffusion-xl-base-1.0 (unet/config.json), without its added embedding. */
const sdxl: StableDiffusionConfig = {
  ...sd15Config,
  unet: {
    ...sd15Config.unet,
    blockOutChannels: [320, 640, 1280],
    transformerDepth: [0, 2, 10],
    heads: [5, 10, 20],
    crossAttentionDim: 2048,
    linearProjection: true,
  },
}
const models: Record<string, { config: StableDiffusionConfig; size: number }> = {
  sd15: { config: sd15Config, size: 512 },
  sdxl: { config: sdxl, size: 1024 },
}

interface KernelReport {
  kernel: string
  launches: number
  tensorFlops: number
  dramBytes: number
  sectorFactor: number
  conflictFactor: number
}

interface Estimate {
  flops: number
  arena: number
  profile: ProfileEntry[]
}

async function estimate(model: string, rank: number, measure: boolean): Promise<Estimate> {
  const { config, size } = models[model]!
  const device = {
    name: 'cuda-sim',
    description: '',
    computeDtype: 'bf16' as const,
    notes: [],
    openEngine: () => openEngine({ device: 'cuda-sim', computeDtype: 'bf16', measure }),
  }
  const options = trainerSchema.parse({ adapter: { kind: 'lora', rank }, networks: { unet: { learning_rate: 1e-4 } } })
  const context = createStepContext({ base: { ...openBaseModel('random:sd15'), config }, device }, options)
  const shape = { batch: 1, height: size / 8, width: size / 8, tokens: config.textEncoder.positions }
  const { graph, requests } = buildStep(context, shape)
  const update = buildUpdate(context)
  const engine = device.openEngine()
  try {
    for (const [name, bytes] of bufferBytes(context.set, stateBuffers(context))) engine.createBuffer(name, bytes, name === 'shadow' ? 'bf16' : 'f32')
    await engine.addWeights(
      requests.map(({ name, precision, shape }) => ({
        name,
        dtype: precision === 'f32' ? 'f32' : 'bf16',
        shape: [...shape],
        sources: [{ kind: 'constant', value: 0.01, shape: [...shape] }],
      })),
    )
    const steps = [graph, update].map((one) => {
      const program = createProgram(one, planMemory(one))
      const inputs = Object.fromEntries(
        program.inputs.map(({ name, tensor }): [string, Values] => {
          const { dtype, shape } = program.tensors[tensor]!
          return [name, dtype === 'i32' ? new Int32Array(elements(shape)) : new Float32Array(elements(shape)).fill(0.5)]
        }),
      )
      return { program: engine.compile(program), inputs }
    })
    if (measure) await engine.run(steps)
    engine.profile(true)
    await engine.run(steps)
    const flops = graph.ops.reduce((sum, { definition, inputs, outputs, attributes }) => sum + (definition.flops?.(inputs, outputs, attributes) ?? 0), 0)
    return { flops, arena: engine.memory().arena, profile: engine.profileReport() }
  } finally {
    engine.close()
  }
}

function main(): void {
  const { values } = parseArgs({
    options: {
      model: { type: 'string', default: 'sd15,sdxl' },
      ranks: { type: 'string', default: '8,128' },
      cards: { type: 'string', default: 'RTX 3060 12GB,RTX 4070,RTX 4090' },
      kernels: { type: 'boolean', default: false },
      measured: { type: 'boolean', default: false },
    },
  })
  for (const model of values.model.split(','))
    for (const card of values.cards.split(',')) {
      const totals: number[] = []
      for (const rank of values.ranks.split(',').map(Number)) {
        const folder = mkdtempSync(join(tmpdir(), 'estimate-'))
        const report = join(folder, 'kernels')
        const env = { ...process.env, LORIKEET_CUDA_SIM: 'sampled', LORIKEET_CUDA_SIM_CARD: card, LORIKEET_CUDA_SIM_REPORT: report }
        const args = [...process.execArgv, __filename, '--one', model, String(rank), String(values.measured)]
        const result = JSON.parse(execFileSync(process.execPath, args, { env, encoding: 'utf8', maxBuffer: 2 ** 28 })) as Estimate
        const ms = result.profile.reduce((sum, entry) => sum + entry.ms, 0)
        totals.push(ms)
        const ideal = result.flops / 1e9 / tflops[card]!
        console.log(
          `\n${model}, rank ${rank}, ${card}: ${ms.toFixed(1)} ms; ideal ${ideal.toFixed(1)} ms (${(result.flops / 1e12).toFixed(2)} TFLOP), ` +
            `${((100 * ideal) / ms).toFixed(1)} % of it; arena ${formatBytes(result.arena)}`,
        )
        console.log(table([['op', 'ms', 'share', 'calls'], ...byOp(result.profile, ms)]))
        if (values.kernels) console.log(renderKernels(readFileSync(report, 'utf8')))
        rmSync(folder, { recursive: true })
      }
      if (totals.length > 1) console.log(`\n${model} on ${card}, the last rank against the first: ${(totals.at(-1)! / totals[0]!).toFixed(3)}`)
    }
}

function byOp(profile: ProfileEntry[], total: number): string[][] {
  const ops = new Map<string, { ms: number; calls: number }>()
  for (const { op, ms, calls } of profile) {
    const sum = ops.get(op) ?? { ms: 0, calls: 0 }
    ops.set(op, { ms: sum.ms + ms, calls: sum.calls + calls })
  }
  return [...ops]
    .sort(([, a], [, b]) => b.ms - a.ms)
    .slice(0, 12)
    .map(([op, { ms, calls }]) => [op, ms.toFixed(2), `${((100 * ms) / total).toFixed(1)}%`, String(calls)])
}

function renderKernels(text: string): string {
  const rows = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as KernelReport)
    .sort((a, b) => b.dramBytes - a.dramBytes)
  return table([
    ['kernel', 'launches', 'TFLOP', 'DRAM', 'sectors / least', 'bank conflicts'],
    ...rows.map((row) => [
      row.kernel,
      String(row.launches),
      (row.tensorFlops / 1e12).toFixed(3),
      formatBytes(row.dramBytes),
      row.sectorFactor.toFixed(3),
      row.conflictFactor.toFixed(3),
    ]),
  ])
}

const one = process.argv.indexOf('--one')
if (one < 0) main()
else {
  const [model, rank, measured] = process.argv.slice(one + 1)
  void estimate(model!, Number(rank), measured === 'true').then((result) => console.log(JSON.stringify(result)))
}
