/**
 * Random numbers that are looked up instead of drawn in turn: a stream is a function of its keys, such as
 * (seed, 'flip', epoch, image), so that any step can be computed alone and a resumed run sees the same data.
 */

import { createHash } from 'node:crypto'

export type RandomStream = () => number

/** Uniform numbers in [0, 1) with 32 random bits, from sha256 in counter mode over the keys. */
export function randomStream(...keys: (string | number)[]): RandomStream {
  const name = JSON.stringify(keys)
  let block = Buffer.alloc(0)
  let counter = 0
  let offset = 0
  return () => {
    if (offset === block.length) {
      block = createHash('sha256').update(`${counter++}:${name}`).digest()
      offset = 0
    }
    const word = block.readUInt32LE(offset)
    offset += 4
    return word / 2 ** 32
  }
}
