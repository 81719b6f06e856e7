/**
 * Safetensors files: opening (header only), reading single tensors, writing. Weights are meant to go from the file to
 * the device by `offset` and `bytes`, without passing through JavaScript; `readTensor` is for small things.
 */
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { writeAll, writeFileAtomic } from '../base/atomic-file'
import { LorikeetError } from '../base/errors'
import { type Dtype, decodeToF32, dtypeBytes, encodeFromF32, f16Max } from './dtypes'
import { refuseForeignFile } from './foreign-files'
import { formatHeader, layoutSort, parseHeader, readHeaderLength, type TensorInfo } from './safetensors-header'

export type { TensorInfo } from './safetensors-header'

export interface SafetensorsFile {
  path: string
  /** Size of the whole file. */
  fileBytes: number
  /** Length of the header's JSON, padding included. */
  headerBytes: number
  /** The `__metadata__` entries; empty when there are none. */
  metadata: Record<string, string>
  /** By name, in the order of the header. */
  tensors: Map<string, TensorInfo>
}

/**
 * Reads and checks the header; no tensor data is read.
 * @throws LorikeetError (input) for anything but a sound safetensors file, pickle files included
 */
export function openSafetensors(file: string): SafetensorsFile {
  return withFile(file, (fd, fileBytes) => {
    const first = readAt(fd, file, 0, Math.min(64, fileBytes))
    refuseForeignFile(file, first)
    const length = readHeaderLength(file, first.subarray(0, 8), fileBytes)
    const header = parseHeader(file, readAt(fd, file, 8, length), fileBytes)
    return { path: file, fileBytes, ...header }
  })
}

/** Like `openSafetensors` for a file in memory; `name` stands for it in messages. */
export function parseSafetensors(name: string, content: Uint8Array): SafetensorsFile {
  refuseForeignFile(name, content.subarray(0, 64))
  const length = readHeaderLength(name, content.subarray(0, 8), content.length)
  const header = parseHeader(name, content.subarray(8, 8 + length), content.length)
  return { path: name, fileBytes: content.length, ...header }
}

/**
 * A tensor's elements as f32, in the file's order (row-major).
 * @throws LorikeetError (input) when there is no such tensor or the file has changed since it was opened
 */
export function readTensor(file: SafetensorsFile, name: string): Float32Array {
  return decodeToF32(tensorOf(file, name).dtype, readTensorRaw(file, name))
}

/** A tensor's bytes as they lie in the file. Errors as `readTensor`. */
export function readTensorRaw(file: SafetensorsFile, name: string): Uint8Array {
  const { offset, bytes } = tensorOf(file, name)
  return withFile(file.path, fd => readAt(fd, file.path, offset, bytes))
}

/** The bytes at a place of a file whose header was read earlier. Errors as `readTensor`. */
export function readBytes({ file, offset, bytes }: { file: string; offset: number; bytes: number }): Uint8Array {
  return withFile(file, fd => readAt(fd, file, offset, bytes))
}

function tensorOf(file: SafetensorsFile, name: string): TensorInfo {
  const tensor = file.tensors.get(name)
  if (tensor) return tensor
  throw new LorikeetError('input', `there is no tensor "${name}"`, {
    where: file.path,
    fix: `See what the file holds with: lorikeet inspect ${file.path}`,
  })
}

function withFile<T>(file: string, use: (fd: number, fileBytes: number) => T): T {
  let fd: number
  try {
    // Looked at before it is opened, since opening a pipe would wait for its writer.
    const stats = fs.statSync(file)
    if (!stats.isFile()) {
      const received = stats.isDirectory() ? 'a folder' : 'something that is not a file'
      throw new LorikeetError('input', 'this cannot be read', { where: file, expected: 'a safetensors file', received })
    }
    fd = fs.openSync(file, 'r')
  } catch (error) {
    if (error instanceof LorikeetError) throw error
    throw cannotRead(file, error)
  }
  try {
    return use(fd, fs.fstatSync(fd).size)
  } finally {
    fs.closeSync(fd)
  }
}

function cannotRead(file: string, error: unknown): LorikeetError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const fix = code === 'EACCES' ? 'Change its rights' : 'Correct the path'
  const problems: Record<string, string> = { ENOENT: 'there is no such file', EACCES: 'no permission to read it' }
  return new LorikeetError('input', problems[code] ?? `it cannot be read (${code})`, { where: file, fix, cause: error })
}

function readAt(fd: number, file: string, position: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let done = 0
  while (done < length) {
    const count = fs.readSync(fd, bytes, done, Math.min(length - done, 2 ** 30), position + done)
    if (count === 0) {
      throw new LorikeetError('input', 'the file became shorter while it was read', { where: file, fix: 'Try again' })
    }
    done += count
  }
  return bytes
}

/**
 * A tensor to write: f32 values for the float dtypes, or the raw bytes of any dtype; a function is called when needed.
 */
export interface TensorData {
  name: string
  dtype: Dtype
  shape: readonly number[]
  data: Float32Array | Uint8Array | (() => Float32Array | Uint8Array)
}

/**
 * Writes a file as the reference writer lays it out (see `safetensors-header.ts`), atomically, and reads it back before
 * it takes its name. Same input, same bytes.
 * @throws LorikeetError (failed) when the system refuses (see `writeFileAtomic`), when a finite value does not fit into
 *   F16, or when the file read back differs
 */
export function writeSafetensors(
  file: string,
  tensors: readonly TensorData[],
  metadata: Readonly<Record<string, string>> = {},
): void {
  const sorted = layoutSort(tensors)
  for (let i = 1; i < sorted.length; i++) {
    if (sorted[i].name === sorted[i - 1].name) throw new Error(`tensor ${sorted[i].name} is given twice`)
  }
  const written = createHash('sha256')
  const emit = (fd: number, bytes: Uint8Array) => {
    written.update(bytes)
    writeAll(fd, bytes)
  }
  writeFileAtomic(
    file,
    fd => {
      emit(fd, formatHeader(sorted, metadata))
      for (const tensor of sorted) emit(fd, tensorBytes(tensor))
    },
    { verify: temporary => verifyCopy(file, temporary, written.digest('hex')) },
  )
}

/** A tensor's bytes as they are stored. Errors as `writeSafetensors`. */
export function tensorBytes(tensor: TensorData): Uint8Array {
  const { name, dtype, shape } = tensor
  const data = typeof tensor.data === 'function' ? tensor.data() : tensor.data
  const count = shape.reduce((product, size) => product * size, 1)
  if (data instanceof Float32Array) {
    if (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16') throw new Error(`${name}: ${dtype} needs raw bytes`)
    if (data.length !== count) throw new Error(`${name}: ${data.length} values for shape [${shape.join(', ')}]`)
    if (dtype === 'F16') checkRange(name, data)
    return encodeFromF32(dtype, data)
  }
  const bytes = count * dtypeBytes[dtype]
  if (data.length !== bytes) throw new Error(`${name}: ${data.length} bytes, expected ${bytes}`)
  return data
}

function checkRange(name: string, values: Float32Array): void {
  // Half a step above the largest value is where rounding reaches infinity.
  const large = values.find(value => Math.abs(value) >= f16Max + 16 && Math.abs(value) !== Infinity)
  if (large === undefined) return
  throw new LorikeetError('failed', `a value of tensor "${name}" does not fit into F16`, {
    expected: `at most ${f16Max}`,
    received: String(large),
    fix: 'Save as BF16 or F32; values this large also hint at a training that diverged',
  })
}

function verifyCopy(file: string, temporary: string, expected: string): void {
  openSafetensors(temporary)
  const hash = createHash('sha256')
  withFile(temporary, (fd, fileBytes) => {
    for (let position = 0; position < fileBytes; position += 2 ** 24) {
      hash.update(readAt(fd, temporary, position, Math.min(2 ** 24, fileBytes - position)))
    }
  })
  if (hash.digest('hex') === expected) return
  throw new LorikeetError('failed', 'the file read back differs from what was written; the old file is unchanged', {
    where: file,
    fix: 'Check the disk, or choose another one',
  })
}
