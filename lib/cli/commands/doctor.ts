/** `lorikeet doctor`: what this machine has, how fast it is, and what fits on it. Made to be pasted into a report. */
import { existsSync, readFileSync } from 'node:fs'
import * as os from 'node:os'
import { join } from 'node:path'
import type { Argv } from 'yargs'
import { formatBytes } from '../../base/units'
import { latentDownscale } from '../../models/families/sd15'
import { devices, missingDevices } from '../../native'
import { packageRoot, packageVersion } from '../../native-loader'
import { openBaseModel } from '../../pipeline/base-model'
import { openDevice, type Device } from '../../pipeline/device'
import { trainerSchema } from '../../recipe/trainer-options'
import { measureMatmulRate } from '../../train/matmul-rate'
import { measureMemoryRate } from '../../train/memory-rate'
import { planTraining } from '../../train/plan'
import { memoryLimit } from '../../train/report'
import { createStepContext } from '../../train/trainer'
import { jsonArgument } from '../arguments'
import { defineCommand } from '../command'
import { createRenderer, table, type Renderer } from '../render'

const options = {
  measure: { type: 'boolean', default: true, describe: 'Measure matrix products and memory (some seconds a device)' },
} as const
const build = (parser: Argv) => jsonArgument(parser.options(options))
type Arguments = ReturnType<typeof build> extends Argv<infer Options> ? Options : never

export const doctorCommand = defineCommand<Arguments>({
  command: 'doctor',
  describe: 'Show what this machine has, how fast it is and what fits on it',
  builder: build,
  async handler({ json, measure }) {
    const renderer = createRenderer(json)
    reportSystem(renderer)
    for (const { name } of devices()) await reportDevice(renderer, name, measure && name !== 'cuda-sim')
    for (const [name, problem] of Object.entries(missing()))
      renderer.print(`\n${name}: not there: ${problem}`, { event: 'missing', name, problem })
  },
})

function reportSystem(renderer: Renderer): void {
  const addon = addonBuild()
  const system = { lorikeet: packageVersion(), node: process.versions.node, os: `${os.type()} ${os.release()} ${os.arch()}`, ...addon }
  const lines = Object.entries(system).map(([key, value]) => `${key.padEnd(9)} ${value}`)
  renderer.print(lines.join('\n'), { event: 'system', ...system })
}

/** What scripts/build.js noted beside the addon. */
function addonBuild(): { built: string; cuda: string } {
  const file = join(packageRoot(), 'build', 'Release', 'lorikeet.done')
  const unknown = 'by hand, so nothing is known of it'
  if (!existsSync(file)) return { built: unknown, cuda: unknown }
  try {
    const { tool, toolchain, cuda } = JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>
    return { built: `${tool}, ${toolchain}`, cuda: cuda ?? 'off' }
  } catch {
    return { built: unknown, cuda: unknown }
  }
}

/** Kinds of devices without a device. */
function missing(): Record<string, string> {
  const known = missingDevices()
  const isThere = devices().some(({ name }) => name === 'cuda')
  return isThere || known['cuda'] ? known : { ...known, cuda: 'the addon was built without its CUDA part' }
}

async function reportDevice(renderer: Renderer, name: string, measure: boolean): Promise<void> {
  const device = openDevice(name)
  const limit = memoryLimit(device)
  const fits = whatFits(device)
  const lines = [`\n${name}: ${device.description}, computing in ${device.computeDtype}`, `memory that a run may take: ${formatBytes(limit)}`]
  const record: Record<string, unknown> = { name, description: device.description, computeDtype: device.computeDtype, memory: limit, fits }
  if (device.tuning) {
    const { entries, file, problem } = device.tuning
    const known = entries === 0 ? 'none measured yet; they will be kept' : `${entries} measured, kept`
    lines.push(problem ?? `fastest kernels: ${known} in ${file}`)
    Object.assign(record, { tuning: device.tuning })
  }
  if (measure) {
    const bar = renderer.bar(`Measuring ${name}`, 2)
    const matmul = await measureMatmulRate(device)
    bar.update(1)
    const bandwidth = await measureMemoryRate(device)
    bar.end()
    lines.push(`matrix products: ${(matmul / 1e12).toFixed(2)} TFLOP/s; memory: ${(bandwidth / 1e9).toFixed(0)} GB/s`)
    Object.assign(record, { matmul, bandwidth })
  }
  const rows = fits.map(({ size, keep, recompute }) => [
    `${size} px`,
    ...[keep, recompute].map((bytes) => `${formatBytes(bytes)}${bytes > limit ? ' (too much)' : ''}`),
  ])
  lines.push('SD 1.5, LoRA of rank 16, one picture a step:', table([['', 'all kept', 'blocks recomputed'], ...rows]))
  renderer.print(lines.join('\n'), { event: 'device', ...record })
}

/** Bytes of training steps on Stable Diffusion 1.5, with activations kept or recomputed. */
function whatFits(device: Device): { size: number; keep: number; recompute: number }[] {
  const base = openBaseModel('random:sd15')
  const total = (size: number, checkpointing: 'none' | 'blocks') => {
    const options = trainerSchema.parse({ adapter: { kind: 'lora', rank: 16 }, networks: { unet: { learning_rate: 1e-4 } }, checkpointing })
    const side = size / latentDownscale
    const shape = { batch: 1, height: side, width: side, tokens: base.config.textEncoder.positions }
    return planTraining(createStepContext({ base, device }, options), [shape]).total
  }
  return [512, 768, 1024].map((size) => ({ size, keep: total(size, 'none'), recompute: total(size, 'blocks') }))
}
