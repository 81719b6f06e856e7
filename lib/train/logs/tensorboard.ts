/**
 * TensorBoard event files. A file is a sequence of records (tensorflow/core/lib/io/record_writer.cc):
 *
 *     u64 length | u32 masked crc32c of the length | data | u32 masked crc32c of the data        little-endian
 *
 * whose data is an `Event` message (tensorflow/core/util/event.proto): 1 wall_time, 2 step, 3 file_version, 5 summary,
 * 7 session_log. A resumed run begins a new file whose session log makes TensorBoard drop what came after its step.
 */
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { bytesField, doubleField, floatField, intField } from './protobuf'
import type { LogOptions, LogSink } from './sink'

export function openTensorBoard({ folder, from }: LogOptions): LogSink {
  const directory = join(folder, 'tensorboard')
  mkdirSync(directory, { recursive: true })
  const started = Date.now()
  const name = `events.out.tfevents.${Math.floor(started / 1000)}.lorikeet.${process.pid}.${started % 1000}`
  const fd = openSync(join(directory, name), 'wx')
  const emit = (step: number, content: Buffer) => {
    const event = Buffer.concat([doubleField(1, Date.now() / 1000), intField(2, step), content])
    writeSync(fd, frame(event))
  }
  emit(0, bytesField(3, 'brain.Event:2'))
  if (from > 0) emit(from + 1, bytesField(7, intField(1, sessionStart)))
  return {
    step(record) {
      const scalars = {
        'loss/step': record.loss,
        'loss/average': record.averageLoss,
        grad_norm: record.gradNorm,
        ...Object.fromEntries(Object.entries(record.learningRates).map(([network, rate]) => [`lr/${network}`, rate])),
        images_per_second: (record.images / record.ms) * 1000,
      }
      const values = Object.entries(scalars).map(([tag, value]) => summaryValue(tag, floatField(2, value)))
      emit(record.step, bytesField(5, Buffer.concat(values)))
    },
    sample({ step, tag, width, height, png }) {
      const image = [intField(1, height), intField(2, width), intField(3, rgb), bytesField(4, png)]
      emit(step, bytesField(5, summaryValue(tag, bytesField(4, Buffer.concat(image)))))
    },
    close: () => closeSync(fd),
  }
}

/** SessionLog.START */
const sessionStart = 1
/** Colour space of a Summary.Image */
const rgb = 3

/** 1 tag, and 2 simple_value or 4 image */
function summaryValue(tag: string, content: Buffer): Buffer {
  return bytesField(1, Buffer.concat([bytesField(1, tag), content]))
}

export function frame(data: Uint8Array): Buffer {
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(data.length))
  return Buffer.concat([length, checksum(length), data, checksum(data)])
}

/** Rotated right by 15 bits and offset, so that checksums of data that holds checksums stay good (crc32c.h, Mask). */
function checksum(data: Uint8Array): Buffer {
  const crc = crc32c(data)
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0)
  return bytes
}

const table = Uint32Array.from({ length: 256 }, (_, i) => {
  let value = i
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1
  return value
})

/** CRC-32C (Castagnoli), RFC 3720. */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of data) crc = table[(crc ^ byte) & 0xff]! ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}
