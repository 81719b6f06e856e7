import test from 'ava'
import { floats, readFixtureJson, readFixtureTensors } from '../helpers/fixture-tensors'
import { expectValues, loadTiny, rowsOf, tinyModel, values } from '../helpers/tiny-pipeline'
import { openSafetensors, readTensor } from '../../lib/formats/safetensors'

const tensors = readFixtureTensors('sd15-tiny', 'text_encoder.safetensors')
const { params, tolerance } = readFixtureJson<{ params: { prompts: string[] }; tolerance: { rel_l2: number } }>(
  'sd15-tiny',
  'text_encoder.json',
)

test('text states equal those of transformers, with and without clip skip', async (t) => {
  const pipe = await loadTiny()
  const rows = rowsOf(tensors, 'ids')
  expectValues(t, await pipe.encodeIds(rows), values(tensors, 'last'), tolerance.rel_l2, 'last layer')
  expectValues(t, await pipe.encodeIds(rows, { clipSkip: 2 }), values(tensors, 'clip_skip2'), tolerance.rel_l2, 'clip skip 2')
  pipe.close()
})

test('captions give the same states and the pooled state of the end token', async (t) => {
  const pipe = await loadTiny()
  const { context, pooled } = await pipe.encodeText(params.prompts)
  expectValues(t, context, values(tensors, 'last'), tolerance.rel_l2, 'context')
  expectValues(t, pooled, values(tensors, 'pooled'), tolerance.rel_l2, 'pooled')
  pipe.close()
})

test('every layer of the text encoder equals the reference, behind the final norm', async (t) => {
  const pipe = await loadTiny()
  const [layersAndInput = 0, ...shape] = tensors.get('hidden')!.shape
  const hidden = floats(tensors, 'hidden')
  const size = hidden.length / layersAndInput
  for (let clipSkip = 1; clipSkip < layersAndInput; clipSkip++) {
    const layer = layersAndInput - clipSkip
    const data = finalNorm(hidden.slice(layer * size, (layer + 1) * size))
    const got = await pipe.encodeIds(rowsOf(tensors, 'ids'), { clipSkip })
    expectValues(t, got, { data, shape }, tolerance.rel_l2, `layer ${layer}`)
  }
  pipe.close()
})

/** The text encoder's final layer norm, in double precision. */
function finalNorm(states: Float32Array): Float32Array {
  const file = openSafetensors(`${tinyModel}/text_encoder/model.safetensors`)
  const gain = readTensor(file, 'text_model.final_layer_norm.weight')
  const bias = readTensor(file, 'text_model.final_layer_norm.bias')
  const width = gain.length
  return states.map((value, i) => {
    const row = states.subarray(i - (i % width), i - (i % width) + width)
    const mean = row.reduce((a, b) => a + b, 0) / width
    const variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / width
    return ((value - mean) / Math.sqrt(variance + 1e-5)) * gain[i % width]! + bias[i % width]!
  })
}

test('prompts without weights give the states of the same captions', async (t) => {
  const pipe = await loadTiny()
  const prompts = await pipe.encodePrompts(params.prompts)
  expectValues(t, prompts, values(tensors, 'last'), tolerance.rel_l2, 'prompts')
  pipe.close()
})
