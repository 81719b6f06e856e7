import test from 'ava'
import { fuzzSafetensors } from '../../scripts/fuzz/safetensors'

test('damaged files only ever give errors of kind input, soon and in little memory', t => {
  const corpus = ['flux-tiny/lora_inference/lora', 'lycoris/networks/ia3', 'quant/fp8']
  const result = fuzzSafetensors(corpus.map(name => `test/fixtures/${name}.safetensors`), 3000, 7)
  t.true(result.refused > 1500, `${result.refused} of ${result.rounds} were refused`)
  // Were nothing accepted, the fuzzer would only ever test the first check.
  t.true(result.accepted > 50, `${result.accepted} of ${result.rounds} were accepted`)
  t.true(result.largestGrowthBytes < 64 * 2 ** 20, `${result.largestGrowthBytes} bytes`)
})

test('damaged headers of a whole checkpoint do too', t => {
  const result = fuzzSafetensors(['test/fixtures/sd15-tiny/single/sd15-tiny.safetensors'], 150, 3, 10)
  t.true(result.refused > 50 && result.accepted > 0)
})
