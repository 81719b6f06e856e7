import test from 'ava'
import { type GenerationSettings, modelName, parseSettings, renderSettings } from '../../lib/generate/settings'

const settings: GenerationSettings = {
  prompt: 'a photo of a cat, (red sofa:1.2)',
  negativePrompt: 'blurry: very, low quality',
  steps: 25,
  sampler: 'euler_a',
  cfg: 5.5,
  seed: 9007199254740991,
  width: 512,
  height: 768,
  clipSkip: 2,
  model: 'dreamy, v2: final',
  loras: [{ name: 'ohwx', strength: 0.8, clipStrength: 0.5 }],
}

test('settings are written as AUTOMATIC1111 writes them', (t) => {
  const lines = renderSettings({ ...settings, model: 'dreamy', clipSkip: 1 }).split('\n')
  t.is(lines[0], 'a photo of a cat, (red sofa:1.2) <lora:ohwx:0.5:0.8>')
  t.is(lines[1], 'Negative prompt: blurry: very, low quality')
  t.regex(
    lines[2]!,
    /^Steps: 25, Sampler: Euler a, CFG scale: 5.5, Seed: 9007199254740991, Size: 512x768, Model: dreamy, Version: lorikeet \d/,
  )
  t.is(lines.length, 3)
})

test('what was written is read back', (t) => {
  t.deepEqual(parseSettings(renderSettings(settings)), settings)
  const plain = { ...settings, prompt: '', negativePrompt: '', clipSkip: 1, loras: [] }
  t.deepEqual(parseSettings(renderSettings(plain)), plain)
})

test('prompts of several lines are read back', (t) => {
  const long = { ...settings, prompt: 'first\nSteps to heaven\nlast', negativePrompt: 'one\ntwo' }
  t.deepEqual(parseSettings(renderSettings(long)), long)
})

test('settings of other tools are read as far as they are known', (t) => {
  const text =
    'masterpiece <lora:style:0.7>\nNegative prompt: bad\n' +
    'Steps: 30, Sampler: Restart, Schedule type: Karras, CFG scale: 7, Seed: 5, Size: 640x512, ' +
    'Model hash: abcdef, Model: thing, Lora hashes: "style: 123, b: 4", Version: v1.9.0'
  t.deepEqual(parseSettings(text), {
    prompt: 'masterpiece',
    negativePrompt: 'bad',
    loras: [{ name: 'style', strength: 0.7, clipStrength: 0.7 }],
    steps: 30,
    sampler: 'Restart',
    cfg: 7,
    seed: 5,
    width: 640,
    height: 512,
    clipSkip: 1,
    model: 'thing',
  })
})

test('text without settings is a prompt', (t) => {
  t.deepEqual(parseSettings('just <lora: words'), { prompt: 'just <lora: words', loras: [], negativePrompt: '' })
})

test('names in settings tell nothing about folders', (t) => {
  t.is(modelName('/home/someone/secret/model.safetensors'), 'model')
  t.is(modelName('models/sd-v1-5/'), 'sd-v1-5')
  t.is(modelName('random:sd15'), 'random:sd15')
})
