import test from 'ava'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { bucketRule, bucketSizes } from '../../lib/dataset/buckets'
import { bucketLimits, datasetSchema } from '../../lib/dataset/options'

interface Case {
  resolution: [number, number]
  min: number | null
  max: number | null
  steps: number | null
  no_upscale: boolean
  bucketing: boolean
  sizes: [number, number][] | null
  /** image width, height, bucket width, height, resized width, height; only the first two where the peer fails */
  selections: number[][]
}

// Answers of kohya-ss/sd-scripts, made by scripts/fixtures/buckets.py
const cases = JSON.parse(readFileSync(path.join(__dirname, '../fixtures/buckets.json'), 'utf8')) as Case[]

function ruleOf({ resolution, min, max, steps, no_upscale, bucketing }: Case) {
  return bucketRule({
    resolution,
    enable_bucket: bucketing,
    bucket_no_upscale: no_upscale,
    bucket_reso_steps: steps ?? 64,
    min_bucket_reso: min ?? undefined,
    max_bucket_reso: max ?? undefined,
  })
}

for (const one of cases) {
  const mode = one.bucketing ? (one.no_upscale ? 'without enlarging' : 'with enlarging') : 'without buckets'
  const limits = one.bucketing ? `, ${one.min} to ${one.max} by ${one.steps}` : ''
  test(`places images as sd-scripts does: ${one.resolution.join('x')}${limits}, ${mode}`, (t) => {
    const place = ruleOf(one)
    for (const [width, height, bucketWidth, bucketHeight, resizedWidth, resizedHeight] of one.selections) {
      const placement = place({ width, height })
      if (bucketWidth === undefined) continue // the peer divides by zero; the test of covering looks at ours
      if (bucketWidth === 0 || bucketHeight === 0) {
        t.is(placement, undefined, `${width}x${height}`)
        continue
      }
      t.deepEqual(placement?.bucket, { width: bucketWidth, height: bucketHeight }, `${width}x${height}`)
      t.deepEqual(placement?.resized, { width: resizedWidth, height: resizedHeight }, `${width}x${height}`)
    }
    if (one.sizes) {
      const [width, height] = one.resolution
      const sizes = bucketSizes({ width, height }, one.min as number, one.max as number, one.steps as number)
      t.deepEqual(sizes.map((size) => [size.width, size.height]), one.sizes)
    }
  })
}

test('the fixture covers images that fill no bucket', (t) => {
  t.true(cases.some((one) => one.selections.some(([, , width, height]) => width === 0 || height === 0)))
})

test('shapes on which sd-scripts divides by zero get a bucket, or none when they fill none', (t) => {
  const place = bucketRule({ resolution: 128, enable_bucket: true, bucket_no_upscale: true, bucket_reso_steps: 64 })
  t.deepEqual(place({ width: 2716, height: 1299 })?.bucket, { width: 128, height: 64 })
  t.is(place({ width: 4000, height: 300 }), undefined)
})

test('the resized image always covers its bucket', (t) => {
  for (const one of cases) {
    const place = ruleOf(one)
    for (let i = 0; i < 2000; i++) {
      const [width, height] = one.selections[i] ?? [8 + ((i * 7919) % 4000), 8 + ((i * 104729) % 3000)]
      const image = { width, height }
      const placement = place(image)
      if (!placement) continue
      const { bucket, resized, scale, cropped } = placement
      t.true(resized.width >= bucket.width && resized.height >= bucket.height, JSON.stringify({ image, placement }))
      t.true(cropped >= 0 && cropped < 1)
      if (one.no_upscale) t.true(scale <= 1 + 1 / Math.min(image.width, image.height), JSON.stringify({ image, scale }))
    }
  }
})

test('limits follow the resolution and are those of sd-scripts at 512', (t) => {
  const limits = (resolution: number) => bucketLimits(datasetSchema.parse({ image_dir: 'x', resolution }))
  t.deepEqual(limits(512), { min: 256, max: 1024 })
  t.deepEqual(limits(1024), { min: 512, max: 2048 })
})

test('an enlarged image says by how much', (t) => {
  const place = bucketRule(datasetSchema.parse({ image_dir: 'x' }))
  t.is(place({ width: 256, height: 256 })?.scale, 2)
  t.is(place({ width: 1024, height: 1024 })?.scale, 0.5)
})

test('wrong sizes are refused with the key that is wrong', (t) => {
  const keyOf = (options: object) => datasetSchema.safeParse({ image_dir: 'x', ...options }).error?.issues[0].path[0]
  t.is(keyOf({ resolution: 500 }), 'resolution')
  t.is(keyOf({ resolution: 1024, max_bucket_reso: 512 }), 'max_bucket_reso')
  t.is(keyOf({ min_bucket_reso: 768, max_bucket_reso: 512 }), 'min_bucket_reso')
  t.is(keyOf({ resolution: 32 }), 'bucket_reso_steps')
  t.is(keyOf({ resolution: 32, bucket_reso_steps: 8 }), undefined)
})
