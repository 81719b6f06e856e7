import test from 'ava'
import { LorikeetError } from '../../lib/base/errors'
import { parsePrompt } from '../../lib/text/prompt'

test('takes LoRA tags out of the prompt, in order', (t) => {
  t.deepEqual(parsePrompt('a <lora:ink-style:0.8>cat, (sitting:1.2)<lora:My LoRA v2>'), {
    text: 'a cat, (sitting:1.2)',
    loras: [
      { name: 'ink-style', strength: 0.8, clipStrength: 0.8 },
      { name: 'My LoRA v2', strength: 1, clipStrength: 1 },
    ],
  })
})

test('of two strengths the first is the text encoder\'s, the second the denoiser\'s', (t) => {
  const [lora] = parsePrompt('<lora:x:0.5:-.25>').loras
  t.deepEqual(lora, { name: 'x', clipStrength: 0.5, strength: -0.25 })
})

test('strengths may be named', (t) => {
  t.deepEqual(parsePrompt('<lora:x:te=0>').loras, [{ name: 'x', clipStrength: 0, strength: 0 }])
  t.deepEqual(parsePrompt('<lora:x:unet=0.3>').loras, [{ name: 'x', clipStrength: 1, strength: 0.3 }])
  t.deepEqual(parsePrompt('<lora:x:0.9:unet=1e-1>').loras, [{ name: 'x', clipStrength: 0.9, strength: 0.1 }])
})

test('other angle brackets are text', (t) => {
  const text = 'a <b> 1 < 2 <3 lora:x>'
  t.deepEqual(parsePrompt(text), { text, loras: [] })
})

test('malformed tags are usage errors that name their position', (t) => {
  const cases: [prompt: string, character: number][] = [
    ['a <lora:x:0.8', 3],
    ['<lora:>', 1],
    ['<lora::0.8>', 1],
    ['a cat <lora:x:strong>', 15],
    ['<lora:x:0.8:>', 13],
    ['<lora:x:0.8:y=1>', 13],
    ['<lora:x:1:2:3>', 1],
    ['b <lora:x <lora:y:1>', 3],
    ['<lora:x:0x10>', 9],
  ]
  for (const [prompt, character] of cases) {
    const error = t.throws(() => parsePrompt(prompt), { instanceOf: LorikeetError }, prompt)
    t.is(error.kind, 'usage')
    t.is(error.details.where, `prompt, character ${character}`, prompt)
  }
})
