/**
 * Feeds damaged recipes to the reader: whatever the text, either a recipe comes out or a LorikeetError of kind `usage`,
 * and soon. Every finding can be repeated from its seed.
 *
 *     npx ts-node --transpile-only scripts/fuzz/recipe.ts [rounds] [seed]
 */
import { LorikeetError } from '../../lib/base/errors'
import { philoxWords } from '../../lib/base/philox'
import { readRecipeText } from '../../lib/recipe'

export interface RecipeFuzzResult {
  rounds: number
  refused: number
  accepted: number
  slowestMs: number
}

const whole = `base: models/sd15.safetensors
output: { name: ohwx, dir: out, keep_last: 2, save_every_n_steps: 100 }
dataset:
  resolution: [512, 768]
  batch_size: 2
  subsets:
    - image_dir: photos
      num_repeats: 10
    - { image_dir: style, shuffle_caption: true, keep_tokens: 1 }
adapter: { kind: lora, rank: 16, alpha: 8, conv_rank: 4 }
train: { steps: 100, unet_lr: 1e-4, text_encoder_lr: 5e-5, noise_offset: { strength: 0.05 } }
optimizer: { kind: adamw, betas: [0.9, 0.99] }
lr_schedule: { kind: cosine, warmup: 0.1 }
loss: { kind: huber, min_snr_gamma: 5 }
samples:
  every_n_steps: 50
  prompts:
    - a cat
    - prompt: a dog
      seed: 3
`

const pieces = [
  ...['3', '8', '0.5', 'abc', '[64, 64]', '1e-3', '#ffffff'],
  ...[
    'null',
    '~',
    '[]',
    '{}',
    '-1',
    '0',
    '1e999',
    '.nan',
    '.inf',
    '9007199254740993',
    '""',
    '"\\u0000"',
    'true',
    '0x10',
    '1_000',
  ],
  ...[
    '__proto__',
    'constructor',
    '<<: *a',
    '&a ',
    '*a',
    '!!binary x',
    '!!js/function x',
    '? [a, b]\n: c',
    '|\n  x',
    '---\n',
    '...\n',
    '%YAML 1.1\n',
  ],
  ...['\t', '\r\n', '\u2028', '\ufeff', '\u0000', '🦜', ': ', '- ', '#', '{', '}', '[', ']', '"', "'", ','],
]

const paths = [
  'train.steps',
  'dataset.subsets.0.image_dir',
  'dataset.subsets.7',
  'a.b.c',
  '__proto__.x',
  'constructor.prototype.x',
  '',
  'output',
  'samples.prompts.1',
]

export function fuzzRecipes(rounds: number, seed: number): RecipeFuzzResult {
  const result = { rounds, refused: 0, accepted: 0, slowestMs: 0 }
  for (let round = 0; round < rounds; round++) {
    const words = philoxWords({ seed, stream: 0, step: round }, 64)
    let used = 0
    const random = (below: number) => words[used++ % words.length]! % below
    const text = damage(whole, random)
    const overrides = random(3) === 0 ? [`${paths[random(paths.length)]}=${pieces[random(pieces.length)]}`] : []
    const read = () => {
      const started = performance.now()
      const accepted = isAccepted(text, overrides, `round ${round} of seed ${seed}`)
      return { accepted, ms: performance.now() - started }
    }
    const first = read()
    result[first.accepted ? 'accepted' : 'refused']++
    // A busy machine makes anything slow once; what is slow by itself is so each time.
    const ms = first.ms < 200 ? first.ms : Math.min(first.ms, ...[1, 2, 3, 4].map(() => read().ms))
    result.slowestMs = Math.max(result.slowestMs, ms)
  }
  if (({} as { x?: unknown }).x !== undefined) throw new Error(`seed ${seed}: the prototype of all objects was changed`)
  return result
}

function isAccepted(text: string, overrides: readonly string[], round: string): boolean {
  try {
    JSON.stringify(readRecipeText('fuzz.yaml', text, overrides))
    return true
  } catch (error) {
    if (error instanceof LorikeetError && error.kind === 'usage' && error.message.length <= 10_000) return false
    throw new Error(`${round}: ${String(error)}\n${text}\n${overrides.join()}`, { cause: error })
  }
}

function damage(text: string, random: (below: number) => number): string {
  let damaged = text
  for (let i = random(2) + 1; i > 0; i--) {
    const at = random(damaged.length + 1)
    const end = Math.min(damaged.length, at + random(12))
    const piece = pieces[random(pieces.length)]!
    switch (random(9)) {
      case 0:
        damaged = damaged.slice(0, at)
        break
      case 1:
        damaged = damaged.slice(0, at) + damaged.slice(end)
        break
      case 2:
        damaged = damaged.slice(0, at) + piece + damaged.slice(at)
        break
      case 3:
        damaged = damaged.slice(0, at) + piece + damaged.slice(end)
        break
      case 4:
      case 5:
      case 6:
      case 7:
        damaged = replaceValue(damaged, piece, random)
        break
      default: {
        const lines = damaged.split('\n')
        const [line] = lines.splice(random(lines.length), 1)
        lines.splice(random(lines.length + 1), 0, line ?? '', ...(random(2) ? [line ?? ''] : []))
        damaged = lines.join('\n')
      }
    }
  }
  return damaged
}

/** One value replaced, so that what is damaged still reaches the schema. */
function replaceValue(text: string, piece: string, random: (below: number) => number): string {
  const values = [...text.matchAll(/: ([^\s{[,}][^,}\n]*)/g)]
  const value = values[random(Math.max(1, values.length))]
  if (!value) return text
  const at = value.index + 2
  return text.slice(0, at) + piece + text.slice(at + value[1]!.length)
}

if (require.main === module) {
  const [rounds = 100_000, seed = Date.now() % 1e6] = process.argv.slice(2).map(Number)
  console.log(`seed ${seed}`, fuzzRecipes(rounds, seed))
}
