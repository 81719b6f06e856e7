/** The demo, shortened, on the embedded model: the full checks are scripts/demo/check-base.ts and check-lora.ts. */
import test from 'ava'
import { mkdtempSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { generate, loadPipeline, openDevice, openSafetensors, parseLoraFile } from '../../../lib/index'
import { packageRoot } from '../../../lib/native-loader'
import { openBaseModel } from '../../../lib/pipeline/base-model'
import { runDemo, settings, strengths, subjects, type DemoResult } from '../../../scripts/demo/demo'

let result: DemoResult

test.before('run it', async () => {
  result = await runDemo({ steps: 120, out: mkdtempSync(join(tmpdir(), 'lorikeet-demo-')) })
})

test('the LoRA brings outlines and edges to subjects that were not trained', (t) => {
  const figure = (name: 'outlineShare' | 'edgeStrength') => result.figures.map((figures) => figures[name])
  const [outline, edges] = [figure('outlineShare'), figure('edgeStrength')]
  t.true(outline.at(-1)! > 1.5 * outline[0]!, `outline by strength: ${outline.join(', ')}`)
  t.true(edges.at(-1)! > edges.at(-2)! && edges.at(-2)! > edges[0]!, `edges by strength: ${edges.join(', ')}`)
})

test('strength 0 has the bits of the base', async (t) => {
  const pipe = await loadPipeline('demo', { device: openDevice('cpu') })
  try {
    const { images } = await generate(pipe, { ...settings, prompt: `${subjects[0]}, inkline` })
    t.deepEqual(images[0]!.shape, [1, 3, 128, 128], 'the size that the base was made for')
    t.deepEqual(images[0]!.data, result.columns[0]![0]!.data)
  } finally {
    pipe.close()
  }
})

test('the LoRA is a file of rank 8 with the words to call it by', (t) => {
  const file = parseLoraFile(openSafetensors(result.lora))
  t.deepEqual([...new Set([...file.modules.values()].map(({ rank }) => rank))], [8])
  t.is(file.file.metadata['modelspec.trigger_phrase'], 'inkline')
})

test('the sheet shows a row for each subject and the training pictures', async (t) => {
  const { width = 0, height = 0 } = await sharp(result.picture).metadata()
  t.true(width > 128 * strengths.length && height > 128 * (subjects.length + 1), `${width} x ${height}`)
})

test('the embedded model has the sizes of random:demo, and is small', (t) => {
  const [demo, random] = [openBaseModel('demo'), openBaseModel('random:demo')]
  t.deepEqual({ ...demo.config.unet }, { ...random.config.unet })
  t.deepEqual(demo.config.textEncoder, random.config.textEncoder)
  t.is(demo.imageSize, random.imageSize)
  t.true(statSync(demo.checkpoint!.path).size <= 25e6)
})

test('none of the subjects was trained', (t) => {
  const folder = join(packageRoot(), 'models', 'demo', 'dataset')
  const captions = readdirSync(folder)
    .filter((name) => name.endsWith('.txt') && name !== 'LICENSE.txt')
    .map((name) => readFileSync(join(folder, name), 'utf8').toLowerCase())
  t.true(captions.length >= 24 && captions.length <= 40)
  for (const subject of subjects) t.deepEqual(captions.filter((caption) => caption.includes(subject)), [])
})
