/**
 * The header of a safetensors file, read from untrusted bytes and written in the reference writer's layout.
 *
 *     8 bytes   length n of the header, unsigned, little-endian
 *     n bytes   JSON object { "__metadata__"?: {string: string}, name: { dtype, shape, data_offsets: [begin, end] } }
 *     the rest  the tensors' bytes; offsets count from here
 *
 * Rules, all of which the reference reader (huggingface/safetensors, safetensors/src/tensor.rs) enforces as well, so a
 * file accepted here is accepted there: n at most 100 MB and inside the file; the JSON begins with "{"; no key twice;
 * the tensors lie one after another from the first byte to the last, without gap or overlap.
 */
import { LorikeetError } from '../base/errors'
import { formatBytes } from '../base/units'
import { type Dtype, dtypeBytes, isDtype } from './dtypes'
import { duplicateKey } from './json-keys'

/** The reference reader's limit. */
export const maxHeaderBytes = 100_000_000

export interface TensorInfo {
  name: string
  dtype: Dtype
  shape: number[]
  /** Absolute position of the first byte in the file. */
  offset: number
  bytes: number
}

export interface SafetensorsHeader {
  /** Length of the JSON, padding included; the data starts 8 bytes later. */
  headerBytes: number
  metadata: Record<string, string>
  /** In the order of the file's header. */
  tensors: Map<string, TensorInfo>
}

const again = 'The file is damaged or incomplete: download or save it again'

function damaged(file: string, problem: string, expected?: string, received?: string, fix = again): LorikeetError {
  return new LorikeetError('input', problem, { where: file, expected, received, fix })
}

/**
 * Checks the length field.
 * @param first the first bytes of the file, 8 where the file has them
 * @returns length of the JSON in bytes
 * @throws LorikeetError (input)
 */
export function readHeaderLength(file: string, first: Uint8Array, fileBytes: number): number {
  if (first.length < 8) {
    throw damaged(file, 'this is not a safetensors file', 'at least 8 bytes', `${first.length}`)
  }
  const length = new DataView(first.buffer, first.byteOffset, 8).getBigUint64(0, true)
  if (length > BigInt(maxHeaderBytes)) {
    const fix = 'This is not a safetensors file, or its first bytes are damaged'
    throw damaged(file, 'the header length is impossible', `at most ${maxHeaderBytes} bytes`, `${length}`, fix)
  }
  if (length > BigInt(fileBytes - 8)) {
    throw damaged(file, 'the header is longer than the file', `at most ${fileBytes - 8} bytes`, `${length}`)
  }
  return Number(length)
}

/**
 * Parses and checks the JSON part.
 * @param json the `headerBytes` bytes behind the length field
 * @param fileBytes size of the whole file
 * @throws LorikeetError (input) that names the file and, where there is one, the tensor
 */
export function parseHeader(file: string, json: Uint8Array, fileBytes: number): SafetensorsHeader {
  const header = parseObject(file, json)
  const dataStart = 8 + json.length
  const tensors = new Map<string, TensorInfo>()
  let metadata: Record<string, string> = {}
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') metadata = checkMetadata(file, value)
    else tensors.set(name, checkTensor(file, name, value, dataStart))
  }
  checkLayout(file, tensors, dataStart, fileBytes)
  return { headerBytes: json.length, metadata, tensors }
}

function parseObject(file: string, json: Uint8Array): Record<string, unknown> {
  if (json[0] !== 0x7b) {
    throw damaged(file, 'the header is not a JSON object', '"{" as its first byte', describeByte(json[0]))
  }
  let text: string
  let parsed: unknown
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(json)
    parsed = JSON.parse(text)
  } catch (error) {
    const reason = error instanceof Error ? error.message.slice(0, 120) : ''
    throw damaged(file, 'the header is not valid JSON', undefined, reason)
  }
  const twice = duplicateKey(text, 2)
  if (twice !== undefined) throw damaged(file, `the key ${quote(twice)} appears twice in the header`)
  return parsed as Record<string, unknown>
}

function checkMetadata(file: string, value: unknown): Record<string, string> {
  if (!isRecord(value)) throw damaged(file, '__metadata__ is wrong', 'an object of strings', show(value))
  for (const [key, entry] of Object.entries(value)) {
    if (typeof entry !== 'string') {
      throw damaged(file, `metadata entry ${quote(key)} is wrong`, 'a string', show(entry))
    }
  }
  return value as Record<string, string>
}

function checkTensor(file: string, name: string, value: unknown, dataStart: number): TensorInfo {
  const where = `tensor ${quote(name)}`
  if (!isRecord(value)) throw damaged(file, `${where} is wrong`, 'an object', show(value))
  const { dtype, shape, data_offsets: offsets, ...rest } = value
  const extra = Object.keys(rest)[0]
  if (extra !== undefined) throw damaged(file, `${where} has an unknown field ${quote(extra)}`)
  if (typeof dtype !== 'string') throw damaged(file, `${where} has no dtype`, 'a string', show(dtype))
  if (!isDtype(dtype)) {
    const fix = 'Convert the tensor to one of these dtypes; if the name looks scrambled, the file is damaged'
    throw damaged(file, `${where} has an unsupported dtype`, Object.keys(dtypeBytes).join(' '), quote(dtype), fix)
  }
  if (!isCounts(shape)) throw damaged(file, `${where} has a wrong shape`, 'a list of counts', show(shape))
  if (!isCounts(offsets) || offsets.length !== 2) {
    throw damaged(file, `${where} has wrong data_offsets`, '[begin, end]', show(offsets))
  }
  const [begin, end] = offsets
  if (begin > end) throw damaged(file, `${where} ends before it begins`, 'begin <= end', show(offsets))
  const bytes = shapeBytes(shape, dtype)
  if (bytes === undefined) throw damaged(file, `${where} is impossibly large`, undefined, `shape ${show(shape)}`)
  if (end - begin !== bytes) {
    throw damaged(file, `${where} has a wrong length`, `${bytes} bytes for ${dtype} ${show(shape)}`, `${end - begin}`)
  }
  return { name, dtype, shape: shape.map(size => size + 0), offset: dataStart + begin, bytes }
}

/** Undefined when the product is no exact number, even if a later dimension is zero. */
function shapeBytes(shape: number[], dtype: Dtype): number | undefined {
  let bytes: number = dtypeBytes[dtype]
  for (const size of shape) {
    bytes *= size
    if (!Number.isSafeInteger(bytes)) return undefined
  }
  return bytes
}

function checkLayout(file: string, tensors: Map<string, TensorInfo>, dataStart: number, fileBytes: number): void {
  const byOffset = [...tensors.values()].sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)
  let position = dataStart
  for (const { name, offset, bytes } of byOffset) {
    const where = `tensor ${quote(name)}`
    if (offset + bytes > fileBytes) {
      const size = `${fileBytes} (${formatBytes(offset + bytes - fileBytes)} are missing)`
      throw damaged(file, `${where} reaches beyond the end of the file`, `${offset + bytes} bytes`, size)
    }
    if (offset < position) throw damaged(file, `${where} overlaps another tensor`)
    if (offset > position) throw damaged(file, `there is a gap of ${offset - position} bytes before ${where}`)
    position += bytes
  }
  if (position !== fileBytes) {
    throw damaged(file, 'there is data behind the last tensor', `a file of ${position} bytes`, `${fileBytes}`)
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(entry => Number.isSafeInteger(entry) && (entry as number) >= 0)
}

/** Names come from the file: short, and without control characters that could play tricks on a terminal. */
function quote(text: string): string {
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 117)}...` : text)
}

function show(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value)
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}

function describeByte(byte: number | undefined): string {
  return byte === undefined ? 'an empty header' : `0x${byte.toString(16).padStart(2, '0')}`
}

/**
 * Order of the reference writer: wide elements first, so that every tensor starts aligned to its element size; within a
 * dtype by name, compared as UTF-8 bytes.
 */
const layoutOrder: Dtype[] =
  ['I64', 'F64', 'F32', 'I32', 'BF16', 'F16', 'I16', 'F8_E4M3', 'F8_E5M2', 'I8', 'U8', 'BOOL']

/** Sorted copy, in the reference writer's order. */
export function layoutSort<T extends { name: string; dtype: Dtype }>(tensors: readonly T[]): T[] {
  const rank = (tensor: T) => layoutOrder.indexOf(tensor.dtype)
  return [...tensors].sort((a, b) => rank(a) - rank(b) || Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)))
}

/**
 * The bytes before the data: length field and JSON, padded with spaces to a multiple of 8.
 * @param tensors in the order in which their data follows
 */
export function formatHeader(
  tensors: readonly { name: string; dtype: Dtype; shape: readonly number[] }[],
  metadata: Readonly<Record<string, string>>,
): Buffer {
  const entries: string[] = []
  const keys = Object.keys(metadata).sort()
  if (keys.length > 0) {
    const pairs = keys.map(key => `${JSON.stringify(key)}:${JSON.stringify(metadata[key])}`)
    entries.push(`"__metadata__":{${pairs.join(',')}}`)
  }
  let begin = 0
  for (const { name, dtype, shape } of tensors) {
    const end = begin + shape.reduce((product, size) => product * size, dtypeBytes[dtype] as number)
    entries.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`)
    begin = end
  }
  const json = Buffer.from(`{${entries.join(',')}}`)
  const padded = Math.ceil(json.length / 8) * 8
  const header = Buffer.alloc(8 + padded, ' ')
  header.writeBigUInt64LE(BigInt(padded))
  json.copy(header, 8)
  return header
}
