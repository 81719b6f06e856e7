/**
 * How the frozen matrices of a base model are stored: as what is computed in, or in 8 or 4 bits, opened for each use. That
 * concerns the layers of attention and feed-forward blocks of UNet and text encoder, which hold most of a model; norms,
 * biases, embeddings, convolutions with a window and the VAE are always stored in full.
 */
import { elements } from '../graph/tensor'
import type { WeightRequest } from '../models/scope'
import type { StorageError, WeightStorage } from '../native'
import type { Device } from './device'

export const basePrecisions = ['full', 'int8', 'fp8', 'nf4'] as const

export type BasePrecision = (typeof basePrecisions)[number]

/** Rows are whole blocks of nf4, and whole accesses of 16 bytes of all of them. */
const rowMultiple = 64

const quantisable: ReadonlySet<string> = new Set(['transformer', 'clip_attention', 'clip_mlp'])

function isCandidate({ network, container, precision, shape }: WeightRequest): boolean {
  return network !== 'vae' && precision === 'compute' && container !== undefined && quantisable.has(container) && shape.length === 2
}

export function storageOf(request: WeightRequest, precision: BasePrecision): WeightStorage {
  const isWhole = (request.shape[1] ?? 0) % rowMultiple === 0
  return precision !== 'full' && isCandidate(request) && isWhole ? precision : 'plain'
}

/** What a device keeps in its memory: one that shares the host's holds all weights in full, in layouts of its own. */
export function heldPrecision(device: Pick<Device, 'memoryBudget'>, precision: BasePrecision): BasePrecision {
  return device.memoryBudget === undefined ? 'full' : precision
}

/** A device's own notes, and what it makes of a precision that is asked for. */
export function notesOn(device: Device, precision: BasePrecision): string[] {
  if (heldPrecision(device, precision) === precision) return device.notes
  const text = `base_precision ${precision} saves no memory here: ${device.name} computes with its numbers and holds them in full`
  return [...device.notes, text]
}

/** Where one thing ends and the next may begin in a card's memory. */
export const roundedBytes = (bytes: number) => Math.ceil(bytes / 256) * 256

/** As stored_layout of native/core/quantise.h: codes, then an f32 scale for each row, or for 64 elements. */
export function storedBytes(storage: Exclude<WeightStorage, 'plain'>, shape: readonly number[]): number {
  const count = elements(shape)
  return storage === 'nf4' ? roundedBytes(Math.ceil(count / 2)) + 4 * Math.ceil(count / 64) : roundedBytes(count) + 4 * (shape[0] ?? 1)
}

/** What storing a network's matrices did to them. */
export interface StorageReport {
  precision: Exclude<BasePrecision, 'full'>
  stored: number
  /** Matrices that stay as they are, because of their rows' length. */
  kept: number
  /** |stored - given| / |given| of each, on average. */
  error: number
  worst: { name: string; error: number } | undefined
}

/** @returns undefined when nothing was asked for, or nothing could have been stored */
export function storageReport(
  requests: readonly WeightRequest[],
  errors: readonly StorageError[],
  precision: BasePrecision,
): StorageReport | undefined {
  const candidates = requests.filter(isCandidate)
  if (precision === 'full' || candidates.length === 0) return undefined
  const worst = errors.reduce<StorageError | undefined>((a, b) => (a && a.relative >= b.relative ? a : b), undefined)
  return {
    precision,
    stored: errors.length,
    kept: candidates.length - errors.length,
    error: errors.reduce((sum, { relative }) => sum + relative, 0) / Math.max(1, errors.length),
    worst: worst && { name: worst.name, error: worst.relative },
  }
}

/** "unet stored as nf4: 128 matrices, relative error 0.083 on average, 0.12 at worst (down_blocks.0...)" */
export function renderStorage(network: string, { precision, stored, kept, error, worst }: StorageReport): string {
  const name = worst?.name.slice(worst.name.indexOf('/') + 1).replace(/\.weight(\+.*)?$/, '')
  const done = worst
    ? `${stored} matrices, relative error ${error.toPrecision(2)} on average, ${worst.error.toPrecision(2)} at worst (${name})`
    : 'no matrices'
  const left = kept > 0 ? `; ${kept} stay as they are, as their rows are no multiple of ${rowMultiple} long` : ''
  return `${network} stored as ${precision}: ${done}${left}`
}
