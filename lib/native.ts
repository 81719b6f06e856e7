/**
 * The typed face of the native addon (native/addon.cc), and the only way to it. Nothing is decided here: a program
 * (lib/graph/program.ts) says what to compute, the engine holds weights, buffers and the one arena, and runs it.
 */
import type { Program } from './graph/program'
import { loadAddon } from './native-loader'

/** Where the values of a weight, or of a piece of a buffer, come from. */
export type WeightSource = FileSource | NormalSource | UniformSource | ConstantSource

/** `bytes` bytes at `offset` of a file, row-major; `shape` is that in the file. */
export interface FileSource {
  kind: 'file'
  path: string
  offset: number
  bytes: number
  dtype: 'f32' | 'f16' | 'bf16' | 'f64'
  shape: number[]
  /** `oihw`: a convolution's weight [O, I, h, w] that is to become [O, h, w, I]. */
  layout: 'plain' | 'oihw'
}

/** Normal numbers with mean 0: the sequence of lib/base/philox.ts for (seed, stream, step 0). */
export interface NormalSource {
  kind: 'normal'
  seed: number
  stream: number
  std: number
  shape: number[]
}

/** Uniform numbers from -bound to bound, of the same generator. */
export interface UniformSource {
  kind: 'uniform'
  seed: number
  stream: number
  bound: number
  shape: number[]
}

export interface ConstantSource {
  kind: 'constant'
  value: number
  shape: number[]
}

/** Rounded to the dtype, or as codes with f32 scales: 4 bits with a scale for 64 values, 8 bits with one for each row. */
export type WeightStorage = 'plain' | 'nf4' | 'int8' | 'fp8'

/**
 * A frozen weight. Its sources' elements follow each other (fused q, k, v); values are rounded once to `dtype`. With another
 * storage they are quantised first, and rounded when they are opened again: for each use on a card, at once on the CPU.
 */
export interface WeightSpec {
  name: string
  dtype: 'f32' | 'bf16'
  shape: number[]
  sources: WeightSource[]
  /** Default: plain. */
  storage?: WeightStorage
  /** It stays in pinned memory of the host, and a card fetches it for each use; the cpu device makes no difference. */
  onHost?: boolean
}

/** How far a quantised weight is from its sources: |stored - given| / |given|. */
export interface StorageError {
  name: string
  storage: Exclude<WeightStorage, 'plain'>
  relative: number
}

/** A piece of a buffer: `shape` at `offset` bytes. */
export interface BufferPiece {
  offset: number
  source: WeightSource
  shape: number[]
}

export type Values = Float32Array | Int32Array

/** One program of a run with its inputs by name: Int32Array for i32 tensors, Float32Array for all others. */
export interface RunStep {
  program: number
  inputs: Record<string, Values>
}

/** Bytes. A weight has a plain copy, or copies in the layouts that the compiled programs' kernels read, seldom both. */
export interface MemoryUse {
  arena: number
  buffers: number
  weights: number
  packed: number
  scratch: number
  /** A card's room for weights that are fetched from the host or opened (dequantised) for each use. */
  staging: number
  /** Weights in pinned memory of the host. */
  host: number
}

/** Time spent in the ops of one kind and label (the name of the first output), since profiling was enabled. */
export interface ProfileEntry {
  op: string
  label: string
  calls: number
  ms: number
}

export interface DeviceInfo {
  name: string
  description: string
  computeDtypes: ('f32' | 'bf16')[]
  threads: number
  /** Instruction set: `amx_bf16`, `avx512_bf16`, `avx512`, `avx2` or `none`; of a card `sm_86`. */
  isa: string
  /**
   * Bytes of a card's own memory, and how many of them are free at present: asked of the card, which that makes ready for
   * work, when `free` is read. Absent where it is the host's memory.
   */
  memory?: { total: number; free: number }
}

export interface EngineOptions {
  device: string
  computeDtype: 'f32' | 'bf16'
  /** Default: OMP_NUM_THREADS, else all cores. */
  threads?: number
  /** Bytes of a card's memory that may be taken. Default: what is free, less a margin. */
  memoryBudget?: number
  /** Measured earlier on such a device. */
  choices?: Choices
  /** Measure other choices, in the first run of each program. Default: false. */
  measure?: boolean
}

/**
 * Which of several kernels that give the same bits a device takes: the kernel's name by the problem's, for instance
 * `128x64` for `matmul bf16 m4096 n320 k320+8`.
 */
export type Choices = Record<string, string>

/**
 * An engine on a device. Calls take effect in the order in which they are made, whether they return a promise or not;
 * those that return none wait for the ones before them. Errors are plain Errors whose message names the weight, buffer,
 * input, or instruction at fault.
 */
export interface Engine {
  readonly computeDtypes: ('f32' | 'bf16')[]

  /**
   * Reads weights straight into their final storage. A weight that exists is replaced; while a compiled program uses
   * it, only by one of the same dtype, shape and storage.
   * @param onProgress in bytes of the sources, at most every 50 ms and once at the end; an error it throws stops the
   *   reading and rejects the promise
   * @returns the errors of those that are quantised
   */
  addWeights(specs: readonly WeightSpec[], onProgress?: (done: number, total: number) => void): Promise<StorageError[]>

  /** Frees weights. A name that does not exist is no error; one that a compiled program uses is. */
  removeWeights(names: readonly string[]): void

  /** A copy of a weight in the order of its shape, widened. */
  readWeight(name: string): Float32Array

  /**
   * A zero-filled buffer. One of the same name and size is kept as it is; another size is an error.
   * @param dtype how readBuffer, writeBuffer and loadBuffer see it; without it, the first program that refers to the
   *   buffer decides, and f32 holds until then
   */
  createBuffer(name: string, bytes: number, dtype?: 'f32' | 'bf16'): void

  /** Frees a buffer; a name that does not exist is no error. Programs that refer to it no longer run. */
  removeBuffer(name: string): void

  loadBuffer(name: string, pieces: readonly BufferPiece[]): Promise<void>

  /** `count` elements from byte `offset` on, widened. */
  readBuffer(name: string, offset: number, count: number): Float32Array

  /** Elements from byte `offset` on, rounded to the buffer's dtype. */
  writeBuffer(name: string, offset: number, data: Float32Array): void

  /** All bytes of a buffer, whatever they mean. */
  readBytes(name: string): Uint8Array

  /** Replaces all bytes of a buffer; there must be as many. */
  writeBytes(name: string, data: Uint8Array): void

  /**
   * Checks a program, creates its kernels, lays out the weights they read, and grows the arena to the program's size.
   * @returns a handle for run and release
   */
  compile(program: Program): number

  release(handle: number): void

  /** Runs programs one after the other on the engine's own thread. Inputs are copied before the call returns. */
  run(steps: readonly RunStep[]): Promise<Record<string, Values>[]>

  memory(): MemoryUse

  /** What was measured since the engine was opened; waits for nothing. */
  measured(): Choices

  /** Enabling starts the counts again. */
  profile(enable: boolean): void

  /** Largest first. */
  profileReport(): ProfileEntry[]

  /** Frees everything. Calls under way are rejected; a run stops after the instruction it is in. Later calls throw. */
  close(): void
}

/** What native/addon.cc exports. */
export interface Addon {
  formatVersion: number
  kernels(device: string): string[]
  devices(): DeviceInfo[]
  missingDevices(): Record<string, string>
  openEngine(options: EngineOptions): Engine
}

/** @throws LorikeetError (failed) with the remedy when the addon cannot be loaded */
export function addon(): Addon {
  return loadAddon() as Addon
}

/** The devices of this build. */
export function devices(): DeviceInfo[] {
  return addon().devices()
}

/** Kinds of devices that this build could drive and does not find, with the reason. */
export function missingDevices(): Record<string, string> {
  return addon().missingDevices()
}

/** Whether an error of the engine says that the card's memory, or the part of it that may be taken, is used up. */
export function isOutOfMemory(error: unknown): error is Error {
  return error instanceof Error && error.message.includes("the card's memory does not suffice")
}

/** The names of the ops that a device can run. */
export function kernels(device: string): string[] {
  return addon().kernels(device)
}

/**
 * @throws Error when the build has no such device, or the processor cannot compute in that dtype
 */
export function openEngine(options: EngineOptions): Engine {
  return addon().openEngine(options)
}
