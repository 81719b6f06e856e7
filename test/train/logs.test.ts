import test, { type ExecutionContext } from 'ava'
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openLogs, type StepRecord } from '../../lib/train/logs'
import { guarded } from '../../lib/train/logs/sink'
import { crc32c } from '../../lib/train/logs/tensorboard'

function folder(t: ExecutionContext): string {
  const made = mkdtempSync(join(tmpdir(), 'lorikeet-logs-'))
  t.teardown(() => rmSync(made, { recursive: true }))
  return made
}

function record(step: number, more: Partial<StepRecord> = {}): StepRecord {
  const learningRates = { unet: 1e-4 }
  return {
    step,
    epoch: 1,
    loss: 0.5,
    averageLoss: 0.25,
    gradNorm: 2,
    learningRates,
    ms: 500,
    images: 2,
    skipped: false,
    ...more,
  }
}

const fail = (message: string) => {
  throw new Error(message)
}

function jsonLines(directory: string): { step: number }[] {
  return readFileSync(join(directory, 'log.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
}

test('JSON lines hold one object a step', (t) => {
  const directory = folder(t)
  const logs = openLogs({ json_lines: true, tensorboard: false }, { folder: directory, from: 0 }, fail)
  logs.step(record(1))
  logs.step(record(2, { skipped: true }))
  logs.close()
  t.deepEqual(readdirSync(directory), ['log.jsonl'])
  t.deepEqual(jsonLines(directory) as unknown, [
    {
      step: 1,
      epoch: 1,
      loss: 0.5,
      average_loss: 0.25,
      grad_norm: 2,
      learning_rates: { unet: 1e-4 },
      ms: 500,
      images_per_second: 4,
    },
    {
      step: 2,
      epoch: 1,
      loss: 0.5,
      average_loss: 0.25,
      grad_norm: 2,
      learning_rates: { unet: 1e-4 },
      ms: 500,
      images_per_second: 4,
      skipped: true,
    },
  ])
})

test('a resumed run drops the lines of steps that are done again, and a line that was cut off', (t) => {
  const directory = folder(t)
  const options = { json_lines: true, tensorboard: false }
  const first = openLogs(options, { folder: directory, from: 0 }, fail)
  for (const step of [1, 2, 3, 4]) first.step(record(step))
  first.close()
  appendFileSync(join(directory, 'log.jsonl'), '{"step": 5, "lo')
  const second = openLogs(options, { folder: directory, from: 2 }, fail)
  second.step(record(3))
  second.close()
  t.deepEqual(
    jsonLines(directory).map(({ step }) => step),
    [1, 2, 3],
  )
})

test('the checksum is CRC-32C', (t) => {
  // Check value of the catalogue of parametrised CRC algorithms, and the vectors of RFC 3720, B.4.
  t.is(crc32c(Buffer.from('123456789')), 0xe3069283)
  t.is(crc32c(new Uint8Array(32)), 0x8a9136aa)
  t.is(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43)
  t.is(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e)
})

/** A reader of event files that shares no code with the writer. */
function readEvents(directory: string): Fields[] {
  const [name] = readdirSync(join(directory, 'tensorboard')).slice(-1)
  const file = readFileSync(join(directory, 'tensorboard', name!))
  const events: Fields[] = []
  for (let at = 0; at < file.length;) {
    const length = file.readUInt32LE(at)
    if (file.readUInt32LE(at + 4) !== 0) throw new Error('longer than 4 GiB')
    expectMasked(file.subarray(at, at + 8), file.readUInt32LE(at + 8))
    const data = file.subarray(at + 12, at + 12 + length)
    expectMasked(data, file.readUInt32LE(at + 12 + length))
    events.push(parse(data))
    at += 16 + length
  }
  return events
}

/** Bit by bit, from the definition: polynomial 0x1edc6f41, reflected. */
function expectMasked(data: Uint8Array, stored: number): void {
  let remainder = 0xffffffffn
  for (const byte of data) {
    remainder ^= BigInt(byte)
    for (let bit = 0; bit < 8; bit++) remainder = remainder & 1n ? (remainder >> 1n) ^ 0x82f63b78n : remainder >> 1n
  }
  const crc = remainder ^ 0xffffffffn
  const masked = (((crc >> 15n) | ((crc << 17n) & 0xffffffffn)) + 0xa282ead8n) & 0xffffffffn
  if (BigInt(stored) !== masked) throw new Error('wrong checksum')
}

type Fields = Map<number, (number | Buffer)[]>

function parse(data: Buffer): Fields {
  const fields: Fields = new Map()
  let at = 0
  const varint = () => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = data[at++]!
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return Number(value)
    }
  }
  while (at < data.length) {
    const key = varint()
    const type = key & 7
    let value: number | Buffer
    if (type === 0) value = varint()
    else if (type === 1) value = data.readDoubleLE((at += 8) - 8)
    else if (type === 5) value = data.readFloatLE((at += 4) - 4)
    else {
      const length = varint()
      value = data.subarray(at, (at += length))
    }
    const field = key >> 3
    fields.set(field, [...(fields.get(field) ?? []), value])
  }
  return fields
}

function scalars(event: Fields): Record<string, number> {
  const summary = parse(event.get(5)![0] as Buffer)
  return Object.fromEntries(
    summary.get(1)!.map((value) => {
      const fields = parse(value as Buffer)
      return [String(fields.get(1)![0]), fields.get(2)![0] as number]
    }),
  )
}

test('event files begin with their version and hold every scalar under its step', (t) => {
  const directory = folder(t)
  const logs = openLogs({ json_lines: false, tensorboard: true }, { folder: directory, from: 0 }, fail)
  logs.step(record(300, { loss: 0.75 }))
  logs.close()
  const [version, step] = readEvents(directory)
  t.is(String(version!.get(3)![0]), 'brain.Event:2')
  t.true(Math.abs((version!.get(1)![0] as number) - Date.now() / 1000) < 60)
  t.is(step!.get(2)![0], 300)
  const values = scalars(step!)
  t.deepEqual(Object.keys(values).sort(), ['grad_norm', 'images_per_second', 'loss/average', 'loss/step', 'lr/unet'])
  t.is(values['loss/step'], 0.75)
  t.is(values['lr/unet'], Math.fround(1e-4))
})

test('pictures are in the event file as PNG', (t) => {
  const directory = folder(t)
  const logs = openLogs({ json_lines: true, tensorboard: true }, { folder: directory, from: 0 }, fail)
  logs.sample({
    step: 7,
    tag: 'samples/0',
    file: 'x/samples/step00000007-0.png',
    png: Uint8Array.of(1, 2, 200),
    width: 64,
    height: 48,
  })
  logs.close()
  const value = parse(parse(readEvents(directory)[1]!.get(5)![0] as Buffer).get(1)![0] as Buffer)
  t.is(String(value.get(1)![0]), 'samples/0')
  const image = parse(value.get(4)![0] as Buffer)
  t.deepEqual([image.get(1)![0], image.get(2)![0], image.get(3)![0]], [48, 64, 3])
  t.deepEqual([...(image.get(4)![0] as Buffer)], [1, 2, 200])
  t.deepEqual(jsonLines(directory) as unknown, [{ step: 7, sample: 'samples/step00000007-0.png' }])
})

test('a resumed run tells TensorBoard from which step on to forget', (t) => {
  const directory = folder(t)
  openLogs({ json_lines: false, tensorboard: true }, { folder: directory, from: 12 }, fail).close()
  const [, session] = readEvents(directory)
  t.is(session!.get(2)![0], 13)
  t.is(parse(session!.get(7)![0] as Buffer).get(1)![0], 1)
})

test('a log that cannot be written is told once and never stops the run', (t) => {
  const problems: string[] = []
  const sink = guarded(
    'json_lines',
    () => ({ step: () => fail('the disk is full'), sample: () => {}, close: () => {} }),
    (text) => problems.push(text),
  )
  sink.step(record(1))
  sink.step(record(2))
  sink.close()
  t.deepEqual(problems, ['json_lines is no longer written: the disk is full'])
})
