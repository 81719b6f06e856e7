/**
 * Feeds damaged safetensors files to the readers: whatever the bytes, only a LorikeetError of kind `input` may come
 * out, and soon, and without large allocations. Every finding can be repeated from its seed.
 *
 *     npx ts-node --transpile-only scripts/fuzz/safetensors.ts [rounds] [seed]
 */
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { LorikeetError } from '../../lib/base/errors'
import { detectCheckpoint } from '../../lib/formats/checkpoint'
import { mapLdmKeys } from '../../lib/formats/keymaps/ldm'
import { parseLoraFile } from '../../lib/formats/lora-file'
import { summariseMetadata } from '../../lib/formats/lora-summary'
import { openSafetensors, parseSafetensors } from '../../lib/formats/safetensors'
import { inspectFile } from '../../lib/tools/inspect'
import { renderInspection } from '../../lib/tools/render-inspection'

export interface FuzzResult {
  rounds: number
  /** Files that were refused, and files that were still sound. */
  refused: number
  accepted: number
  slowestMs: number
  largestGrowthBytes: number
}

type Random = (below: number) => number

/** Mulberry32: small, and the same everywhere. */
function seeded(seed: number): Random {
  let state = seed >>> 0
  return below => {
    state = (state + 0x6d2b79f5) >>> 0
    let x = Math.imul(state ^ (state >>> 15), state | 1)
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
    return ((x ^ (x >>> 14)) >>> 0) % below
  }
}

const interestingNumbers = [
  ...['0', '-1', '-0', '1', '2', '1.5', '1e3', '1e400', '4294967295', '9007199254740991', '9007199254740993'],
  ...['18446744073709551615', 'null', 'true', '"x"', '[]', '{}', '[[]]'],
]
const interestingTexts =
  ['"F32"', '"F64"', '"BOOL"', '"F4"', '"__metadata__"', '"__proto__"', '"constructor"', '""', '"\\u0000"']
const interestingRoles = ['lora_up', 'lora_down', 'alpha', 'oft_blocks', '.99999999999.']

type Mutation = (file: Buffer, header: string, data: Buffer, random: Random) => Buffer

const rebuild = (header: string, data: Buffer): Buffer => {
  const json = Buffer.from(header)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return Buffer.concat([length, json, data])
}

/** Replaces one match of the pattern, chosen at random. */
function replaceOne(header: string, pattern: RegExp, replacement: (found: string) => string, random: Random): string {
  const matches = [...header.matchAll(pattern)]
  if (matches.length === 0) return header
  const { 0: found, index } = matches[random(matches.length)]
  return header.slice(0, index) + replacement(found) + header.slice(index + found.length)
}

const pick = <T>(list: readonly T[], random: Random): T => list[random(list.length)]

const mutations: Mutation[] = [
  (file, _header, _data, random) => file.subarray(0, random(file.length)),
  (file, _header, _data, random) => Buffer.concat([file, Buffer.alloc(1 + random(64))]),
  (file, _header, _data, random) => {
    for (let i = 0; i <= random(8); i++) file[random(8)] = random(256)
    return file
  },
  (file, header, _data, random) => {
    for (let i = 0; i <= random(4); i++) file[8 + random(header.length)] ^= 1 << random(8)
    return file
  },
  (file, _header, _data, random) => {
    for (let i = 0; i <= random(16); i++) file[random(file.length)] = random(256)
    return file
  },
  (_file, header, data, random) =>
    rebuild(replaceOne(header, /\d+/g, () => pick(interestingNumbers, random), random), data),
  (_file, header, data, random) =>
    rebuild(replaceOne(header, /\d+/g, n => String(Number(n) + random(9) - 4), random), data),
  (_file, header, data, random) =>
    rebuild(replaceOne(header, /"[^"]*"/g, () => pick(interestingTexts, random), random), data),
  (_file, header, data, random) =>
    rebuild(replaceOne(header, /[[\]{},:]/g, () => pick([...'[]{},: '], random), random), data),
  (_file, header, data, random) => {
    const entry = /"[^"]+":\{[^{}]*\},/g
    return rebuild(replaceOne(header, entry, found => pick([found + found, ''], random), random), data)
  },
  (_file, header, data, random) => rebuild(header.slice(0, random(header.length)), data),
  (_file, header, data, random) => rebuild(header.replace('{', '{"a":'.repeat(random(5000))), data),
  (_file, _header, data, random) => rebuild('['.repeat(random(100_000)), data),
  (_file, header, data, random) => {
    const role = /lora_(down|up)|alpha|hada_\w+|lokr_\w+|weight|blocks|\.\d+\./g
    return rebuild(replaceOne(header, role, () => pick(interestingRoles, random), random), data)
  },
]

/**
 * @param corpus sound files
 * @param onDisk every how many rounds the file is also written, opened and inspected
 * @throws Error for the first input that brings out anything but a LorikeetError of kind `input`, or takes too long
 */
export function fuzzSafetensors(corpus: readonly string[], rounds: number, seed: number, onDisk = 20): FuzzResult {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lorikeet-fuzz-'))
  const sources = corpus.map(file => fs.readFileSync(file))
  const result: FuzzResult = { rounds, refused: 0, accepted: 0, slowestMs: 0, largestGrowthBytes: 0 }
  try {
    for (let round = 0; round < rounds; round++) {
      const random = seeded(seed * 1_000_003 + round)
      const what = `round ${round} of seed ${seed}`
      const content = mutate(pick(sources, random), random)
      const started = performance.now()
      const before = usedBytes()
      const refused = !survives(content, what)
      if (refused) result.refused++
      else result.accepted++
      result.slowestMs = Math.max(result.slowestMs, performance.now() - started)
      result.largestGrowthBytes = Math.max(result.largestGrowthBytes, usedBytes() - before)
      if (round % onDisk === 0) throughDisk(path.join(folder, 'x.safetensors'), content, what)
    }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
  if (result.slowestMs > 10_000) throw new Error(`one round took ${result.slowestMs.toFixed(0)} ms`)
  return result
}

function usedBytes(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

function mutate(source: Buffer, random: Random): Buffer {
  let file: Buffer = Buffer.from(source)
  for (let i = 0; i <= random(3); i++) {
    const length = file.length >= 8 ? Number(file.readBigUInt64LE()) : 0
    if (8 + length > file.length || length < 3) break
    const header = file.subarray(8, 8 + length).toString('utf8')
    file = pick(mutations, random)(file, header, file.subarray(8 + length), random)
  }
  return file
}

/** Whether the bytes are still a sound file; throws for a wrong kind of error. */
function survives(content: Buffer, what: string): boolean {
  return guarded(what, () => {
    const file = parseSafetensors('fuzz.safetensors', content)
    let end = 8 + file.headerBytes
    const inOrder = [...file.tensors.values()].sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)
    for (const { offset, bytes } of inOrder) {
      if (offset !== end) throw new Error('a file with a gap or an overlap was accepted')
      end += bytes
    }
    if (end !== content.length) throw new Error('a file of a wrong length was accepted')
    mapLdmKeys(file.tensors.keys())
    summariseMetadata(file.metadata)
    return true
  })
}

function throughDisk(file: string, content: Buffer, what: string): void {
  fs.writeFileSync(file, content)
  guarded(what, () => parseLoraFile(openSafetensors(file)))
  guarded(what, () => renderInspection(inspectFile(file)))
  guarded(what, () => detectCheckpoint(file))
}

function guarded(what: string, use: () => unknown): boolean {
  try {
    use()
    return true
  } catch (error) {
    if (error instanceof LorikeetError && error.kind === 'input') return false
    throw new Error(`${what}: ${String(error)}`, { cause: error })
  }
}

if (require.main === module) {
  const [rounds = 20_000, seed = 1] = process.argv.slice(2).map(Number)
  const fixtures = path.join(__dirname, '..', '..', 'test', 'fixtures')
  const corpus = ['sd15-tiny/lora_inference/lora_a', 'lycoris/networks/loha', 'lycoris/networks/lokr', 'quant/fp8']
  const result = fuzzSafetensors(corpus.map(name => path.join(fixtures, `${name}.safetensors`)), rounds, seed)
  process.stdout.write(`${JSON.stringify(result)}\n`)
}
