/** Choosing a device and what it computes in. */
import { LorikeetError } from '../base/errors'
import type { ComputeDType } from '../graph/tensor'
import { devices, missingDevices, openEngine, type DeviceInfo, type Engine, type EngineOptions } from '../native'
import { openTuning, saveTuning, type Tuning } from './tuning'

export interface DeviceOptions {
  /** `auto` (the default) takes bf16 where the hardware has it. */
  computeDtype?: ComputeDType | 'auto'
  /** Threads of the cpu device; all cores unless told. */
  threads?: number
  /** Bytes of a card's memory that may be taken; what is free, less a margin, unless told. */
  memoryBudget?: number
}

export interface Device {
  name: string
  /** E.g. "AMD EPYC, 2 threads, avx512_bf16". */
  description: string
  computeDtype: ComputeDType
  /** Bytes of its own memory that may be taken; undefined where it shares the host's. */
  memoryBudget?: number
  /** What the person should know, e.g. that bf16 was asked for and is not there. Said once. */
  notes: string[]
  /** Where the fastest kernels of this card are kept, how many are known, and what is wrong with that file. */
  tuning?: { file: string; entries: number; problem?: string }
  openEngine(): Engine
}

/** What the driver and other programs may still want of a card (the engine keeps the same margin). */
const margin = 256 * 2 ** 20

/**
 * @param name `cpu`, `cuda` (the first card), `cuda:1`, .., or `cuda-sim`
 * @throws LorikeetError (usage) for a device that this build or machine does not have
 */
export function openDevice(name: string, options: DeviceOptions = {}): Device {
  const { computeDtype = 'auto', threads, memoryBudget } = options
  const found = findDevice(name === 'cuda:0' ? 'cuda' : name)
  const hasBf16 = found.computeDtypes.includes('bf16')
  const chosen: ComputeDType = computeDtype === 'f32' || !hasBf16 ? 'f32' : 'bf16'
  const notes = notesOn(found, computeDtype === 'bf16' && !hasBf16)
  const budget = found.memory && Math.max(1, Math.min(memoryBudget ?? Infinity, found.memory.free - margin))
  const engineOptions: EngineOptions = {
    device: found.name,
    computeDtype: chosen,
    ...(threads !== undefined && { threads }),
    ...(budget !== undefined && { memoryBudget: budget }),
  }
  const tuning = openTuning(found)
  if (tuning?.problem) notes.push(tuning.problem)
  return {
    name: found.name,
    description: describe(found, threads),
    computeDtype: chosen,
    ...(budget !== undefined && { memoryBudget: budget }),
    notes,
    ...(tuning && { tuning: describeTuning(tuning) }),
    openEngine: () => openTuned(found, engineOptions),
  }
}

function describeTuning({ file, choices, problem }: Tuning): Device['tuning'] {
  return { file, entries: Object.keys(choices).length, ...(problem && { problem }) }
}

/** An engine on a card begins with what was measured on such a one, and leaves what it measures to the next. */
function openTuned(device: DeviceInfo, options: EngineOptions): Engine {
  const tuning = openTuning(device)
  if (!tuning) return openEngine(options)
  const engine = openEngine({ ...options, choices: tuning.choices, measure: true })
  const close = engine.close.bind(engine)
  let isOpen = true
  const saveAndClose = () => {
    if (isOpen) saveTuning(tuning, device, engine.measured())
    isOpen = false
    close()
  }
  // The addon's own cannot be assigned to.
  return Object.defineProperty(engine, 'close', { value: saveAndClose })
}

function notesOn({ name, isa }: DeviceInfo, lacksBf16: boolean): string[] {
  const notes: string[] = []
  if (lacksBf16)
    notes.push(`This processor (${isa}) has no bf16 arithmetic, so everything is computed in f32: slower, and twice the memory.`)
  if (name === 'cuda-sim')
    notes.push('The card is emulated, some thousand times slower than a card: for tiny models and small pictures.')
  return notes
}

function findDevice(name: string): DeviceInfo {
  const all = devices()
  const found = all.find((device) => device.name === name)
  if (found) return found
  const expected = all.map((device) => device.name).join(', ')
  if (!/^cuda(:\d+)?$/.test(name)) throw new LorikeetError('usage', 'there is no such device', { where: name, expected })
  if (all.some((device) => device.name === 'cuda'))
    throw new LorikeetError('usage', 'this machine has no such card', { where: name, expected })
  const missing = missingDevices()
  throw new LorikeetError('usage', missing['cuda'] ?? 'the addon was built without its CUDA part', {
    where: name,
    expected,
    fix: missing['cuda'] ? '`lorikeet doctor` shows what was found' : withoutCuda,
  })
}

const withoutCuda =
  'Install the CUDA toolkit (12 or 13), so that nvcc is on the PATH or in /usr/local/cuda/bin, and build again: ' +
  'npm run build:native'

function describe({ description, isa, memory, threads }: DeviceInfo, wanted = threads): string {
  const size = memory ? `${(memory.total / 2 ** 30).toFixed(1)} GiB` : `${wanted} threads`
  return `${description}, ${size}, ${isa}`
}
