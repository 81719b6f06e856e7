/**
 * Random numbers that are looked up instead of drawn in turn: what happens to an image in an epoch is a function of
 * seed, purpose, epoch and image alone, so that any step can be computed by itself and a resumed run sees the same
 * data. The generator is Philox with counter [block, item, purpose, epoch + 1]; its last word is never 0, which keeps
 * these numbers apart from all that `philoxWords` gives for the same seed.
 */

import { philoxBlock } from '../base/philox'

/** What the numbers are for; purposes never share numbers. The order is part of every run's reproducibility. */
const purposes = ['image order', 'batch order', 'flip', 'caption'] as const

export interface DataKey {
  /** 0 to 2^53 - 1 */
  seed: number
  purpose: (typeof purposes)[number]
  /** Counted from 0. */
  epoch: number
  /** Which of the things of this purpose: a bucket, or one showing of an image. */
  item: number
}

/** Uniform numbers in [0, 1), multiples of 2^-32, one after the other. */
export function randomStream({ seed, purpose, epoch, item }: DataKey): () => number {
  if (!Number.isSafeInteger(seed) || seed < 0) throw new RangeError(`a seed is 0 to 2^53 - 1, received ${seed}`)
  const stream = purposes.indexOf(purpose)
  const words = new Uint32Array(4)
  let drawn = 0
  return () => {
    if (drawn % 4 === 0) {
      philoxBlock(drawn / 4, item, stream, epoch + 1, seed >>> 0, Math.floor(seed / 2 ** 32), words)
    }
    return words[drawn++ % 4] / 2 ** 32
  }
}
