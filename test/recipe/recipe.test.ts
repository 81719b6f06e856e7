import test from 'ava'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LorikeetError } from '../../lib/base/errors'
import { readRecipe, readRecipeText, resolveRecipe } from '../../lib/recipe'
import { editDistance, nearest } from '../../lib/recipe/nearest'
import { recipeTree, type SchemaNode } from '../../lib/recipe/keys'
import { renderReference } from '../../scripts/docs/recipe-reference'

const minimal = 'base: model\noutput: { name: ohwx }\ndataset: { image_dir: photos }\n'

/** The error of a recipe, whose kind must be usage. */
function problem(text: string, overrides: string[] = []): LorikeetError {
  try {
    readRecipeText('r.yaml', text, overrides)
  } catch (error) {
    if (error instanceof LorikeetError && error.kind === 'usage') return error
    throw error
  }
  throw new Error('the recipe was accepted')
}

test('base, dataset and a name are enough', (t) => {
  const recipe = readRecipeText('r.yaml', minimal)
  t.is(recipe.train.steps, 1600)
  t.is(recipe.train.unet_lr, 1e-4)
  t.deepEqual(recipe.adapter, { kind: 'lora', rank: 16 })
  t.is(recipe.dataset.resolution, 512)
  t.is(recipe.output.dir, 'output')
})

test('a resolved recipe is plain data and resolves to itself', (t) => {
  const recipe = readRecipeText('r.yaml', `${minimal}samples: { every_n_steps: 5, prompts: [a cat] }\n`)
  const copy = JSON.parse(JSON.stringify(recipe))
  t.deepEqual(copy, recipe)
  t.deepEqual(resolveRecipe(copy), recipe)
})

test('recipes may be JSON, and numbers in scientific notation are numbers', (t) => {
  const text = '{"base": "m", "output": {"name": "x"}, "dataset": {"image_dir": "p"}, "train": {"unet_lr": 1e-5}}'
  t.is(readRecipeText('r.json', text).train.unet_lr, 1e-5)
  t.is(readRecipeText('r.yaml', `${minimal}train: { unet_lr: 5e-5 }`).train.unet_lr, 5e-5)
})

test('an adapter without a kind is a LoRA', (t) => {
  t.deepEqual(readRecipeText('r.yaml', `${minimal}adapter: { rank: 4, conv_rank: 2 }`).adapter, {
    kind: 'lora',
    rank: 4,
    conv_rank: 2,
  })
})

test('an optimizer without a kind is AdamW', (t) => {
  const read = (text: string) => readRecipeText('r.yaml', `${minimal}optimizer: ${text}`).optimizer
  t.like(read('{ eps: 1e-6 }'), { kind: 'adamw', eps: 1e-6, weight_decay: 0.01 })
  t.like(read('{ kind: adamw8bit }'), { kind: 'adamw8bit', betas: [0.9, 0.999], min_8bit_size: 4096 })
  const refused = (text: string) => problem(`${minimal}optimizer: ${text}\n`).details
  t.like(refused('{ kind: AdamW8bit }'), { expected: 'adamw, adamw8bit', fix: 'Did you mean adamw8bit?' })
  t.like(refused('{ min_8bit_size: 0 }'), { fix: 'It belongs to another kind: remove it' })
})

test('samples are as large as the dataset says', (t) => {
  const text = minimal.replace('photos }', 'photos, resolution: [640, 448] }')
  const { samples } = readRecipeText('r.yaml', `${text}samples: { every_n_steps: 5, prompts: [a] }`)
  t.deepEqual([samples?.width, samples?.height], [640, 448])
})

test('an unknown key is refused with its line and the nearest known key', (t) => {
  const { details, message } = problem(`${minimal}train:\n  steps: 10\n  unet_rl: 1e-4\n`)
  t.is(details.where, 'r.yaml:6, train.unet_rl')
  t.is(details.fix, 'Did you mean unet_lr?')
  t.is(message, 'r.yaml:6, train.unet_rl: there is no such key. Did you mean unet_lr?')
})

test('a key in the wrong place, or of another trainer, is sent to its place', (t) => {
  t.is(problem(`${minimal}resolution: 512\n`).details.fix, 'It is dataset.resolution')
  t.is(problem(`${minimal}network_dim: 8\n`).details.fix, 'It is adapter.rank here')
  t.is(problem(`${minimal}adapter: { kind: full, rank: 4 }\n`).details.fix, 'It belongs to another kind: remove it')
  t.is(problem(`${minimal}train: { learning_rate: 1e-4 }\n`).details.fix, 'It is train.unet_lr here')
})

test('a wrong value is named with its line, what was expected and what came', (t) => {
  const { details } = problem(`${minimal}adapter:\n  rank: 1000\n`)
  t.like(details, { where: 'r.yaml:5, adapter.rank', expected: 'number <= 256', received: '1000' })
  t.like(problem(`${minimal}samples:\n  every_n_steps: 1\n  sampler: eular\n  prompts: [a]\n`).details, {
    where: 'r.yaml:6, samples.sampler',
    fix: 'Did you mean euler?',
  })
  t.like(problem(`${minimal}adapter: { kind: lorra }\n`).details, { fix: 'Did you mean lora?', received: '"lorra"' })
})

test('a missing key is named with what it means', (t) => {
  const { message } = problem('output: { name: a }\ndataset: { image_dir: p }\n')
  t.regex(message, /^r\.yaml, base: is missing\. What is trained on/)
})

test('all problems are told at once', (t) => {
  const { message } = problem('base: m\noutput: {}\ndataset: { image_dir: p, resolutoin: 3 }\ntrian: {}\n')
  t.regex(message, /3 things are wrong/)
  t.regex(message, /r\.yaml:2, output\.name: is missing/)
  t.regex(message, /r\.yaml:3, dataset\.resolutoin.*resolution\?/)
  t.regex(message, /r\.yaml:4, trian.*train\?/)
})

test('problems inside lists are placed', (t) => {
  const text =
    'base: m\noutput: { name: a }\ndataset:\n  subsets:\n    - image_dir: a\n    - image_dir: b\n      num_repeat: 3\n'
  t.is(problem(text).details.where, 'r.yaml:7, dataset.subsets.1.num_repeat')
  const samples = `${minimal}samples:\n  every_n_steps: 1\n  prompts:\n    - a\n    - prompt: b\n      cgf: 3\n`
  t.like(problem(samples).details, { where: 'r.yaml:9, samples.prompts.1.cgf', fix: 'Did you mean cfg?' })
})

test('settings that contradict each other are refused', (t) => {
  const cases: [string, RegExp][] = [
    ['train: { steps: 3, epochs: 2 }', /either steps or epochs/],
    ['train: { unet_lr: 0 }', /nothing would be trained/],
    ['train: { vae_lr: 1e-4 }', /VAE is trained alone/],
    ['train: { vae_lr: 1e-4, unet_lr: 0 }', /only be trained with adapter kind full/],
    ['train: { min_timestep: 500, max_timestep: 500 }', /less than max_timestep/],
    ['train: { noise_offset: { strength: 0.1 }, multires_noise: {} }', /either noise_offset or multires_noise/],
    ['adapter: { kind: full }\ncontinue_from: x.safetensors', /adapter kind must be lora/],
    ['samples: { prompts: [a] }', /every_n_steps, every_n_epochs or at_start/],
  ]
  for (const [text, expected] of cases) t.regex(problem(`${minimal}${text}\n`).message, expected)
})

test('names that would leave the output folder are refused', (t) => {
  for (const name of ['../x', 'a/b', 'a\\\\b', '.hidden', 'x.', 'a:b'])
    t.regex(
      problem(`base: m\noutput: { name: "${name}" }\ndataset: { image_dir: p }\n`).message,
      /expected a (plain )?name/,
    )
})

test('overrides win over the file, make what is missing, and reach into lists', (t) => {
  const text = 'base: m\noutput: { name: a }\ndataset: { subsets: [{ image_dir: a }] }\n'
  const recipe = readRecipeText('r.yaml', text, [
    'train.steps=7',
    'dataset.subsets.0.num_repeats=5',
    'dataset.subsets.1.image_dir=b',
    'dataset.resolution=[512, 768]',
  ])
  t.is(recipe.train.steps, 7)
  t.deepEqual(
    recipe.dataset.subsets?.map((s) => [s.image_dir, s.num_repeats]),
    [
      ['a', 5],
      ['b', undefined],
    ],
  )
  t.deepEqual(recipe.dataset.resolution, [512, 768])
})

test('a wrong override is named as such', (t) => {
  t.like(problem(minimal, ['train.steps=many']).details, { where: '--set train.steps', received: '"many"' })
  t.like(problem(minimal, ['train.stepz=3']).details, { where: '--set train.stepz', fix: 'Did you mean steps?' })
  t.like(problem(minimal, ['steps']).details, { where: '--set steps', expected: 'KEY=VALUE, such as train.steps=100' })
  t.regex(problem(minimal, ['__proto__.x=1']).message, /no such key/)
  t.is(({} as { x?: unknown }).x, undefined)
})

test('what is no recipe is refused with the reason', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'lorikeet-recipe-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const read = (content?: Uint8Array | string) => {
    const file = join(folder, 'r.yaml')
    if (content !== undefined) writeFileSync(file, content)
    return t.throws(() => readRecipe(file), { instanceOf: LorikeetError })
  }
  t.regex(read()!.message, /no such recipe/)
  t.regex(read(Uint8Array.of(0x62, 0xff, 0xfe))!.message, /UTF-8/)
  t.regex(read('x'.repeat(2 ** 20 + 1))!.message, /too large/)
  t.regex(read('- a\n- b\n')!.message, /a recipe is a mapping/)
  t.regex(read('base: [1\nx: 2\n')!.message, /r\.yaml:\d.*not YAML/)
  t.regex(read('base: a\nbase: b\n')!.message, /r\.yaml:2.*unique/)
  const bomb = [
    'a: &a [x,x,x,x,x,x,x,x,x]',
    ...'bcdefgh'.split('').map((c, i) => `${c}: &${c} [${`*${'abcdefg'[i]},`.repeat(9)}]`),
  ]
  t.regex(read(bomb.join('\n'))!.message, /alias/i)
  t.regex(t.throws(() => readRecipe(folder))!.message, /not a file/)
})

test('the nearest name forgives case, dashes, swaps and single letters, and nothing far away', (t) => {
  t.is(nearest('Unet-LR', ['unet_lr', 'vae_lr']), 'unet_lr')
  t.is(nearest('stpes', ['steps', 'epochs']), 'steps')
  t.is(nearest('gradient_accumulation_steps', ['gradient_accumulation', 'steps']), 'gradient_accumulation')
  t.is(nearest('banana', ['steps', 'epochs']), undefined)
  t.is(editDistance('ab', 'ba'), 1)
  t.is(editDistance('kitten', 'sitting'), 3)
})

test('every key has a description', (t) => {
  const bare: string[] = []
  const visit = (node: SchemaNode, key: string) => {
    for (const branch of [...(node.oneOf ?? []), ...(node.anyOf ?? []), ...(node.items ? [node.items] : [])])
      visit(branch, key)
    for (const [name, child] of Object.entries(node.properties ?? {})) {
      if (!child.description) bare.push(`${key}${name}`)
      visit(child, `${key}${name}.`)
    }
  }
  visit(recipeTree(), '')
  t.deepEqual(bare, [])
})

test('the reference in the documentation is the one that the schema gives', (t) => {
  t.is(readFileSync(join(__dirname, '../../docs/reference/recipe.md'), 'utf8'), renderReference())
})
