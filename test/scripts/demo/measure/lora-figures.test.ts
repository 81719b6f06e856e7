import test from 'ava'
import { heldOut, judgeLora, type LoraFigures } from '../../../../scripts/demo/measure/lora-figures'
import { summarise } from '../../../../scripts/demo/measure/reconstruction'

const training = { outlineShare: 0.08, edgeStrength: 0.36 }
const strengths = [
  { strength: 0, outlineShare: 0.002, edgeStrength: 0.15, top1: 0.5, top5: 0.75 },
  { strength: 0.4, outlineShare: 0.01, edgeStrength: 0.17, top1: 0.5, top5: 0.76 },
  { strength: 0.7, outlineShare: 0.03, edgeStrength: 0.2, top1: 0.4, top5: 0.7 },
  { strength: 1, outlineShare: 0.05, edgeStrength: 0.25, top1: 0.3, top5: 0.6 },
]
const good: LoraFigures = { strengths, training, identical: true }
const failed = (figures: LoraFigures) => judgeLora(figures).filter(({ passed }) => !passed).map(({ what }) => what)
type Change = Partial<(typeof strengths)[number]>
const withLast = (change: Change) => [...strengths.slice(0, 3), { ...strengths[3], ...change }]

test('a LoRA that brings the style and keeps the subjects passes', (t) => {
  t.deepEqual(failed(good), [])
})

test('each thing that a LoRA must do can fail', (t) => {
  const falling = failed({ ...good, strengths: withLast({ outlineShare: 0.029 }) }).join()
  t.regex(falling, /^share of outline rises.*share of outline at strength 1/)
  t.deepEqual(failed({ ...good, training: { ...training, edgeStrength: 0.6 } }), [
    "edge strength at strength 1 reaches half of the training pictures'",
  ])
  t.regex(failed({ ...good, strengths: withLast({ top5: 0.49 }) }).join(), /^subjects stay/)
  t.regex(failed({ ...good, identical: false }).join(), /^strength 0/)
})

test('a subject that is trained under its own or a longer or shorter name is not held out', (t) => {
  const names = ['fox', 'Dog face', 'dog', 'red apple', 'green apple', 'hot dog', 'hotel']
  const left = heldOut(names.map((label) => ({ label })), ['dog face', 'red apple', 'hot'])
  t.deepEqual(left.map(({ label }) => label), ['fox', 'green apple', 'hotel'])
})

test('reconstruction is summed up by mean, worst and tenth percentile', (t) => {
  const values = Array.from({ length: 20 }, (_, i) => 39 - i)
  t.deepEqual(summarise(values), { pictures: 20, mean: 29.5, min: 20, percentile10: 22 })
})
