/** Choosing a device and what it computes in. */
import { LorikeetError } from '../base/errors'
import type { ComputeDType } from '../graph/tensor'
import { devices, openEngine, type Engine } from '../native'

export interface DeviceOptions {
  /** `auto` (the default) takes bf16 where the hardware has it. */
  computeDtype?: ComputeDType | 'auto'
  /** Threads of the cpu device; all cores unless told. */
  threads?: number
}

export interface Device {
  name: string
  /** E.g. "AMD EPYC, 2 threads, avx512_bf16". */
  description: string
  computeDtype: ComputeDType
  /** What the person should know, e.g. that bf16 was asked for and is not there. Said once. */
  notes: string[]
  openEngine(): Engine
}

/**
 * @param name `cpu`
 * @throws LorikeetError (usage) for a device that this build or machine does not have
 */
export function openDevice(name: string, { computeDtype = 'auto', threads }: DeviceOptions = {}): Device {
  const found = devices().find((device) => device.name === name)
  if (!found)
    throw new LorikeetError('usage', 'there is no such device', {
      where: name,
      expected: devices()
        .map((device) => device.name)
        .join(' or '),
    })
  const hasBf16 = found.computeDtypes.includes('bf16')
  const chosen: ComputeDType = computeDtype === 'f32' || !hasBf16 ? 'f32' : 'bf16'
  const notes =
    computeDtype === 'bf16' && !hasBf16
      ? [`This processor (${found.isa}) has no bf16 arithmetic, so everything is computed in f32: slower, and twice the memory.`]
      : []
  return {
    name,
    description: `${found.description}, ${threads ?? found.threads} threads, ${found.isa}`,
    computeDtype: chosen,
    notes,
    openEngine: () => openEngine({ device: name, computeDtype: chosen, ...(threads !== undefined && { threads }) }),
  }
}
