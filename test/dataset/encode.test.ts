import test, { ExecutionContext } from 'ava'
import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { LorikeetError } from '../../lib/base/errors'
import { Dataset, prepareDataset } from '../../lib/dataset/dataset'
import { cacheCaptions, CaptionEncoder, cacheLatents, LatentEncoder, trainedCaptions } from '../../lib/dataset/encode'
import { DatasetInput } from '../../lib/dataset/options'
import { drawn, png, temporaryFolder, writeFiles } from './make-dataset'

/** A stand-in for a VAE: every eighth pixel of the red plane, so that a mirror image gives other latents. */
function redEncoder(id = 'vae-1'): LatentEncoder & { calls: number } {
  return {
    id,
    calls: 0,
    async encode(pixels, [, , height, width]) {
      this.calls++
      const mean = new Float32Array((height / 8) * (width / 8))
      for (let i = 0; i < mean.length; i++) {
        mean[i] = pixels[Math.floor(i / (width / 8)) * 8 * width + (i % (width / 8)) * 8]
      }
      return { mean, logvar: mean.map((x) => x - 10), shape: [1, 1, height / 8, width / 8] }
    },
  }
}

function lengthEncoder(id = 'clip-1'): CaptionEncoder & { seen: string[] } {
  return {
    id,
    seen: [],
    async encode(caption) {
      this.seen.push(caption)
      return { context: { data: Float32Array.of(caption.length), shape: [1, 1, 1] } }
    },
  }
}

async function sample(t: ExecutionContext, own: DatasetInput = {}) {
  const root = temporaryFolder(t)
  writeFiles(root, {
    'a.png': await drawn(64, 64, (x) => [x * 4, 0, 0]).png().toBuffer(),
    'a.txt': 'a ramp',
    'b.png': await png(64, 64, '#ff0000'),
    'b.txt': 'plain red',
  })
  return { root, reload: () => prepareDataset({ image_dir: root, resolution: 64, ...own }) }
}

test('latents are computed once, and found again by the next run', async (t) => {
  const { reload } = await sample(t)
  const first = redEncoder()
  const cached = await cacheLatents(await reload(), first)
  t.deepEqual([cached.encoded, cached.reused, first.calls], [2, 0, 2])
  const second = redEncoder()
  const again = await cacheLatents(await reload(), second)
  t.deepEqual([again.encoded, again.reused, second.calls], [0, 2, 0])
  t.deepEqual(await again.load(0, false), await cached.load(0, false))
  const { mean, logvar, shape } = await again.load(1, false)
  t.deepEqual(shape, [1, 1, 8, 8])
  t.true(mean.every((x) => x === 1))
  t.true(logvar.every((x) => x === -9))
})

test('a flipped image is encoded from its flipped pixels', async (t) => {
  const { reload } = await sample(t, { flip_aug: true })
  const encoder = redEncoder()
  const cached = await cacheLatents(await reload(), encoder)
  t.is(encoder.calls, 4)
  const { mean: normal } = await cached.load(0, false)
  const { mean: flipped } = await cached.load(0, true)
  t.deepEqual([...normal.subarray(0, 3)].map((x) => Math.round((x + 1) * 127.5)), [0, 32, 64])
  t.deepEqual([...flipped.subarray(0, 3)].map((x) => Math.round((x + 1) * 127.5)), [252, 220, 188])
})

test('what influences latents gives new ones: image, size, background, encoder', async (t) => {
  const { root, reload } = await sample(t)
  await cacheLatents(await reload(), redEncoder())
  const encodedBy = async (dataset: Dataset, id?: string) => (await cacheLatents(dataset, redEncoder(id))).encoded
  t.is(await encodedBy(await reload()), 0)
  t.is(await encodedBy(await reload(), 'vae-2'), 2)
  t.is(await encodedBy(await prepareDataset({ image_dir: root, resolution: 128 })), 2)
  t.is(await encodedBy(await prepareDataset({ image_dir: root, resolution: 64, alpha_background: '#000000' })), 2)
  writeFileSync(path.join(root, 'b.png'), await png(64, 64, '#00ff00'))
  t.is(await encodedBy(await reload()), 1)
  writeFileSync(path.join(root, 'a.txt'), 'another caption')
  t.is(await encodedBy(await reload()), 0, 'captions do not influence latents')
})

test('a damaged entry is computed again, and that is said', async (t) => {
  const { root, reload } = await sample(t)
  const before = await cacheLatents(await reload(), redEncoder())
  const expected = await before.load(0, false)
  const folder = path.join(root, '.lorikeet-cache/latents')
  for (const name of readdirSync(folder)) writeFileSync(path.join(folder, name), 'rubbish')
  const messages: string[] = []
  const after = await cacheLatents(await reload(), redEncoder(), { onMessage: (message) => messages.push(message) })
  t.is(after.encoded, 2)
  t.regex(messages[0], /a\.png: its cache entry was damaged/)
  t.deepEqual(await after.load(0, false), expected)
})

test('latents that are not finite are refused by the name of the image, and not stored', async (t) => {
  const { root, reload } = await sample(t)
  const encoder: LatentEncoder = {
    id: 'broken',
    encode: async () => ({ mean: Float32Array.of(1, NaN), logvar: Float32Array.of(0, 0), shape: [1, 2, 1, 1] }),
  }
  const error = await t.throwsAsync(cacheLatents(await reload(), encoder), { instanceOf: LorikeetError })
  t.is(error?.details.where, path.join(root, 'a.png'))
  t.regex(error?.message ?? '', /not finite \(mean\)/)
  t.false(readdirSync(root).includes('.lorikeet-cache'))
})

test('an interrupted run keeps what it had encoded', async (t) => {
  const { reload } = await sample(t)
  const dying = redEncoder()
  const encode = dying.encode.bind(dying)
  dying.encode = async (pixels, shape) => {
    if (dying.calls === 1) throw new Error('killed')
    return encode(pixels, shape)
  }
  await t.throwsAsync(cacheLatents(await reload(), dying), { message: 'killed' })
  t.is((await cacheLatents(await reload(), redEncoder())).encoded, 1)
})

test('progress counts every image and its mirror image', async (t) => {
  const { reload } = await sample(t, { flip_aug: true })
  const seen: string[] = []
  const onProgress = ({ done, total, name }: { done: number; total: number; name: string }) =>
    seen.push(`${done}/${total} ${path.basename(name)}`)
  await cacheLatents(await reload(), redEncoder(), { onProgress })
  t.deepEqual(seen, ['1/4 a.png', '2/4 a.png', '3/4 b.png', '4/4 b.png'])
})

test('captions are encoded once each, with the empty one when captions are dropped', async (t) => {
  const { root, reload } = await sample(t, { caption_dropout_rate: 0.1, trigger_word: 'ohwx' })
  const encoder = lengthEncoder()
  const cached = await cacheCaptions(await reload(), encoder, { extra: ['a sample'] })
  t.deepEqual(encoder.seen, ['ohwx, a ramp', '', 'ohwx, plain red', 'a sample'])
  t.deepEqual([...(await cached.load('ohwx, a ramp')).context.data], [12])
  writeFileSync(path.join(root, 'a.txt'), 'edited')
  const next = lengthEncoder()
  await cacheCaptions(await reload(), next)
  t.deepEqual(next.seen, ['ohwx, edited'], 'only the edited caption is computed')
  const other = lengthEncoder('clip-1 clip_skip 2')
  t.is((await cacheCaptions(await reload(), other)).encoded, 3)
})

test('captions that change from step to step are not cached', async (t) => {
  const { reload } = await sample(t, { shuffle_caption: true })
  t.is(trainedCaptions(await reload()), undefined)
  const error = await t.throwsAsync(cacheCaptions(await reload(), lengthEncoder()), { instanceOf: LorikeetError })
  t.is(error?.kind, 'usage')
})

test('an entry that vanishes during training is an error that names the image', async (t) => {
  const { root, reload } = await sample(t)
  const cached = await cacheLatents(await reload(), redEncoder())
  rmSync(path.join(root, '.lorikeet-cache'), { recursive: true })
  const error = await t.throwsAsync(cached.load(1, false), { instanceOf: LorikeetError })
  t.is(error?.details.where, path.join(root, 'b.png'))
})
