import test, { ExecutionContext } from 'ava'
import { Batch, BatchPlan, planBatches } from '../../lib/dataset/batches'
import { Dataset, prepareDataset } from '../../lib/dataset/dataset'
import { DatasetInput } from '../../lib/dataset/options'
import { DataKey, randomStream } from '../../lib/dataset/random'
import { png, temporaryFolder, writeFiles } from './make-dataset'

/** 3 square images x 4 repeats, 2 wide images x 3 repeats, 1 tall image x 3 repeats. */
async function sample(t: ExecutionContext, own: DatasetInput = {}): Promise<Dataset> {
  const root = temporaryFolder(t)
  writeFiles(root, {
    '4_square/a.png': await png(64, 64, '#010000'),
    '4_square/a.txt': 'one, two, three, four, five',
    '4_square/b.png': await png(64, 64, '#020000'),
    '4_square/c.png': await png(64, 64, '#030000'),
    '3_other/d.png': await png(128, 64, '#040000'),
    '3_other/e.png': await png(128, 64, '#050000'),
    '3_other/f.png': await png(64, 128, '#060000'),
  })
  return prepareDataset({ image_dir: root, resolution: 64, bucket_reso_steps: 8, batch_size: 5, ...own })
}

function epochOf(plan: BatchPlan, epoch: number): Batch[] {
  return Array.from({ length: plan.stepsPerEpoch }, (_, i) => plan.batchesAt(epoch * plan.stepsPerEpoch + i)).flat()
}

test('an epoch shows every image as often as its repeats, and no batch mixes buckets', async (t) => {
  const dataset = await sample(t)
  const plan = planBatches(dataset, { seed: 1 })
  t.is(plan.imagesPerEpoch, 21)
  t.is(plan.batchesPerEpoch, 6, '12, 6 and 3 images in batches of 5')
  for (const epoch of [0, 1, 7]) {
    const batches = epochOf(plan, epoch)
    t.is(batches.length, 6)
    const seen = new Map<string, number>()
    for (const batch of batches) {
      t.is(batch.epoch, epoch)
      for (const { image } of batch.items) {
        t.is(dataset.images[image].bucket, batch.bucket)
        t.deepEqual(dataset.images[image].placement.bucket, batch.size)
        seen.set(dataset.images[image].name, (seen.get(dataset.images[image].name) ?? 0) + 1)
      }
    }
    t.deepEqual([...seen].sort(), [
      ['3_other/d.png', 3],
      ['3_other/e.png', 3],
      ['3_other/f.png', 3],
      ['4_square/a.png', 4],
      ['4_square/b.png', 4],
      ['4_square/c.png', 4],
    ])
  }
})

test('the shapes listed are the shapes that come', async (t) => {
  const plan = planBatches(await sample(t), { seed: 1 })
  const came = new Set(epochOf(plan, 0).map(({ size, items }) => `${size.width}x${size.height} ${items.length}`))
  const listed = plan.shapes.map(({ size, batchSize }) => `${size.width}x${size.height} ${batchSize}`)
  t.deepEqual([...came].sort(), listed.sort())
  t.is(listed.length, 5)
})

test('a step is a function of seed and number alone', async (t) => {
  const dataset = await sample(t, { flip_aug: true, shuffle_caption: true, caption_dropout_rate: 0.2 })
  const inOrder = planBatches(dataset, { seed: 3 })
  const steps = Array.from({ length: 20 }, (_, step) => inOrder.batchesAt(step))
  for (const step of [19, 4, 11, 0, 5]) {
    t.deepEqual(planBatches(dataset, { seed: 3 }).batchesAt(step), steps[step])
    t.deepEqual(inOrder.batchesAt(step), steps[step], 'asked again out of order')
  }
  t.notDeepEqual(planBatches(dataset, { seed: 4 }).batchesAt(0), steps[0])
})

test('each epoch has its own order, flips and captions', async (t) => {
  const dataset = await sample(t, { flip_aug: true, shuffle_caption: true })
  const plan = planBatches(dataset, { seed: 3 })
  const items = (epoch: number) => epochOf(plan, epoch).flatMap((batch) => batch.items)
  t.notDeepEqual(items(0).map((item) => item.image), items(1).map((item) => item.image))
  const many = Array.from({ length: 30 }, (_, epoch) => items(epoch)).flat()
  const flipped = many.filter((item) => item.flip).length / many.length
  t.true(Math.abs(flipped - 0.5) < 0.06, `${flipped} flipped`)
  const tagged = many.filter((item) => dataset.images[item.image].name === '4_square/a.png')
  const captions = tagged.map((item) => item.caption)
  t.true(new Set(captions).size > 30, 'repeats within an epoch differ too')
})

test('nothing is flipped unless asked for', async (t) => {
  const plan = planBatches(await sample(t), { seed: 3 })
  t.false(epochOf(plan, 0).some((batch) => batch.items.some((item) => item.flip)))
})

test('accumulation groups batches into steps and never crosses an epoch', async (t) => {
  const dataset = await sample(t)
  const single = planBatches(dataset, { seed: 2 })
  const grouped = planBatches(dataset, { seed: 2, accumulation: 4 })
  t.is(grouped.stepsPerEpoch, 2)
  t.deepEqual([0, 1, 2, 3].map((step) => grouped.batchesAt(step).length), [4, 2, 4, 2])
  t.deepEqual(epochOf(grouped, 1), epochOf(single, 1), 'the same batches in the same order')
})

test('streams with different keys differ, and are uniform', (t) => {
  const key = { seed: 1, purpose: 'caption', epoch: 0, item: 2 } as const
  const numbers = Array.from({ length: 4000 }, randomStream(key))
  t.true(numbers.every((x) => x >= 0 && x < 1))
  t.true(Math.abs(numbers.reduce((sum, x) => sum + x, 0) / 4000 - 0.5) < 0.02)
  const first = (change: Partial<DataKey>) => randomStream({ ...key, ...change })()
  t.is(first({}), numbers[0])
  const seeds = [first({ seed: 2 }), first({ seed: 1 + 2 ** 32 })]
  const others = [first({ purpose: 'flip' }), first({ epoch: 1 }), first({ item: 3 })]
  t.is(new Set([numbers[0], ...seeds, ...others]).size, 6)
  t.throws(() => randomStream({ ...key, seed: -1 }), { instanceOf: RangeError })
})

test('a seed keeps its meaning: a run resumed with a later version sees the same data', async (t) => {
  const plan = planBatches(await sample(t, { flip_aug: true }), { seed: 2 ** 40 + 7 })
  const items = plan.batchesAt(9).flatMap((batch) => batch.items)
  const shown = items.map((item) => `${item.image}${item.flip ? ' flipped' : ''}`)
  t.deepEqual(shown, ['4', '5 flipped', '5', '4 flipped', '3 flipped'])
})
