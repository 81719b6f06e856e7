/** As much of the protocol buffers' encoding as event files need (protobuf.dev/programming-guides/encoding). */

/** Unsigned, up to 2^53 - 1; seven bits a byte, the lowest first. */
function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80)
    rest = Math.floor(rest / 0x80)
  }
  return Buffer.from([...bytes, rest])
}

const wire = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const

function tag(field: number, type: keyof typeof wire): Buffer {
  return varint(field * 8 + wire[type])
}

export function intField(field: number, value: number): Buffer {
  return Buffer.concat([tag(field, 'varint'), varint(value)])
}

export function doubleField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(value)
  return Buffer.concat([tag(field, 'fixed64'), bytes])
}

export function floatField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return Buffer.concat([tag(field, 'fixed32'), bytes])
}

/** Text, bytes, or a message inside. */
export function bytesField(field: number, value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([tag(field, 'bytes'), varint(bytes.length), bytes])
}
