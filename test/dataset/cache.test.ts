import test, { ExecutionContext } from 'ava'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { LorikeetError } from '../../lib/base/errors'
import { CacheEntry, cacheKey, decodeEntry, encodeEntry, entryPath } from '../../lib/dataset/cache'
import { readEntry, writeEntry } from '../../lib/dataset/cache'
import { temporaryFolder } from './make-dataset'

const entry: CacheEntry = {
  mean: { data: Float32Array.of(1, -2.5, 3e-30, 4), shape: [1, 1, 2, 2] },
  pooled: { data: Float32Array.of(7, 8), shape: [1, 2] },
}

function folderOf(t: ExecutionContext): string {
  return path.join(temporaryFolder(t), 'cache', 'latents')
}

test('what was written is read, to the bit', async (t) => {
  const folder = folderOf(t)
  t.is(await readEntry(folder, 'k'), 'absent')
  writeEntry(folder, 'k', entry)
  t.deepEqual(await readEntry(folder, 'k'), entry)
  t.deepEqual(readdirSync(folder), ['k.bin'], 'no temporary file is left')
})

test('a part of a larger array is written as that part', (t) => {
  const whole = Float32Array.from({ length: 10 }, (_, i) => i)
  const bytes = encodeEntry({ x: { data: whole.subarray(3, 6), shape: [3] } })
  t.deepEqual(decodeEntry(bytes)?.x.data, Float32Array.of(3, 4, 5))
})

test('every shortened entry and every flipped bit is noticed', (t) => {
  const bytes = encodeEntry(entry)
  for (let length = 0; length < bytes.length; length++) t.is(decodeEntry(bytes.subarray(0, length)), undefined)
  t.is(decodeEntry(Buffer.concat([bytes, Buffer.alloc(1)])), undefined)
  for (let i = 0; i < bytes.length; i++) {
    const changed = Buffer.from(bytes)
    changed[i] ^= 1 << i % 8
    t.is(decodeEntry(changed), undefined, `byte ${i}`)
  }
})

test('a damaged file is told from an absent one', async (t) => {
  const folder = folderOf(t)
  writeEntry(folder, 'k', entry)
  const file = entryPath(folder, 'k')
  writeFileSync(file, readFileSync(file).subarray(0, statSync(file).size - 1))
  t.is(await readEntry(folder, 'k'), 'damaged')
})

test('keys depend on every influence and not on their order', (t) => {
  const base = cacheKey({ image: 'abc', flip: false, bucket: '512x512' })
  t.regex(base, /^[0-9a-f]{64}$/)
  t.is(cacheKey({ bucket: '512x512', flip: false, image: 'abc' }), base)
  t.not(cacheKey({ image: 'abc', flip: true, bucket: '512x512' }), base)
  t.not(cacheKey({ image: 'abc', flip: 'false', bucket: '512x512' }), base)
})

test('a folder that cannot be written names cache_dir', (t) => {
  const file = path.join(temporaryFolder(t), 'file')
  writeFileSync(file, '')
  const error = t.throws(() => writeEntry(path.join(file, 'latents'), 'k', entry), { instanceOf: LorikeetError })
  t.is(error?.kind, 'failed')
  t.regex(error?.details.fix ?? '', /cache_dir/)
})

test('a shape that does not fit its data is refused', (t) => {
  const wrong = { mean: { data: new Float32Array(5), shape: [2, 2] } }
  t.throws(() => encodeEntry(wrong), { instanceOf: LorikeetError, message: /4 numbers.*received 5/ })
})
