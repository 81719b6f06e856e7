import test, { type ExecutionContext } from 'ava'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { helpOf } from '../../lib/cli/main'
import { commands } from '../../lib/cli/commands'
import { renderCliReference } from '../../scripts/docs/cli-reference'
import { drawPictures, merge, tinyRecipe } from '../train/tiny-run'
import { runCli, startCli } from './run-cli'

async function recipeFile(
  t: ExecutionContext,
  overrides: Record<string, unknown> = {},
): Promise<{ folder: string; file: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'lorikeet-cli-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  await drawPictures(join(folder, 'pictures'))
  const file = join(folder, 'recipe.yaml')
  writeFileSync(file, stringify(merge(tinyRecipe(folder, join(folder, 'pictures')), overrides)))
  return { folder, file }
}

const small = ['--threads', '1', '--compute-dtype', 'f32']

test.serial('the reference in the documentation is the help that the commands give', async (t) => {
  t.is(readFileSync(join(__dirname, '../../docs/reference/cli.md'), 'utf8'), await renderCliReference())
})

test.serial('help shows every command', async (t) => {
  const help = await helpOf([])
  t.is([...help.matchAll(/^ {2}lorikeet /gm)].length, commands.length)
})

test.serial('bad usage exits with 2 and says what was meant', async (t) => {
  t.is((await runCli(['train'])).code, 2)
  t.is((await runCli([])).code, 2)
  // The exit code of a real process.
  const wrong = await startCli(['trian', 'x.yaml']).result
  t.is(wrong.code, 2)
  t.regex(wrong.err, /Did you mean train\?/)
  t.is(wrong.out, '')
  const option = await runCli(['plan', 'x.yaml', '--bugdet', '3GiB'])
  t.is(option.code, 2)
  t.regex(option.err, /bugdet/)
})

test.serial('a bad recipe exits with 2, without a stack unless it is asked for', async (t) => {
  const { file } = await recipeFile(t, { train: { stepz: 3 } })
  const { code, err } = await runCli(['train', file])
  t.is(code, 2)
  t.regex(err, /^error: .*recipe\.yaml:\d+, train\.stepz: there is no such key\. Did you mean steps\?\n$/)
  process.env.LORIKEET_DEBUG = '1'
  t.teardown(() => delete process.env.LORIKEET_DEBUG)
  t.regex((await runCli(['train', file])).err, /\n +at /)
})

test.serial('with --json an error is an object on standard output', async (t) => {
  const { code, out } = await runCli(['train', '/nowhere/recipe.yaml', '--json'])
  t.is(code, 2)
  t.like(JSON.parse(out), { event: 'error', kind: 'usage', where: '/nowhere/recipe.yaml' })
})

test.serial('bad input exits with 3', async (t) => {
  const base = await recipeFile(t, { base: '/nowhere/model.safetensors' })
  const missing = await runCli(['train', base.file])
  t.is(missing.code, 3)
  t.regex(missing.err, /\/nowhere\/model\.safetensors/)

  const { folder, file } = await recipeFile(t)
  const empty = join(folder, 'empty')
  mkdirSync(empty)
  const nothing = await runCli(['plan', file, '--set', `dataset.image_dir=${empty}`])
  t.is(nothing.code, 3)
  t.regex(nothing.err, /no image to train on/)
})

test.serial('plan says what a run takes, and exits with 4 when that is not there', async (t) => {
  const { file } = await recipeFile(t)
  const fits = await runCli(['plan', file, '--budget', '1GiB', ...small])
  t.is(fits.code, 0)
  t.regex(fits.out, /intermediates +[\d.]+ MiB/)
  t.regex(fits.out, /It fits: [\d.]+ MiB of 1\.00 GiB/)
  const stored = await runCli(['plan', file, '--budget', '1GiB', '--set', 'base_precision=nf4', ...small])
  t.regex(stored.err, /Note: base_precision nf4 saves no memory here: cpu computes/)
  const tight = await runCli(['plan', file, '--budget', '5MiB', '--json', ...small])
  t.is(tight.code, 4)
  const records = tight.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.deepEqual(
    records.map(({ event }) => event),
    ['report', 'error'],
  )
  t.regex(records[1].fix, /This would fit: --set /)
})

test.serial('train exits with 0 and prints nothing but objects with --json', async (t) => {
  const { folder, file } = await recipeFile(t)
  const { code, out, err } = await runCli(['train', file, '--json', '--set', 'train.steps=2', ...small])
  t.is(code, 0, err)
  const events = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).event)
  t.deepEqual(events, ['report', 'step', 'step', 'saved', 'done'])
  t.false(err.includes('\x1b'), 'no control characters where standard error is no terminal')
  t.true(readFileSync(join(folder, 'tiny.safetensors')).length > 1000)
})

test.serial('a run that diverges exits with 5', async (t) => {
  const { file } = await recipeFile(t, { train: { unet_lr: 100, max_grad_norm: 0, steps: 100 } })
  const { code, err } = await runCli(['train', file, ...small])
  t.is(code, 5)
  t.regex(err, /error: step \d+ \(.*\.png/)
})

test.serial('Ctrl+C finishes the step, saves a checkpoint and says how to go on', async (t) => {
  const { folder, file } = await recipeFile(t, { train: { steps: 100000 } })
  const { child, result } = startCli(['train', file, '--json', ...small])
  child.stdout.on('data', (text: Buffer) => {
    if (String(text).includes('"event":"step"')) child.kill('SIGINT')
  })
  const { code, out, err } = await result
  t.is(code, 130)
  const records = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const last = records.findLast(({ event }) => event === 'step').step as number
  t.like(records.at(-1), { event: 'interrupted', step: last })
  t.regex(err, /To go on: lorikeet train .* --resume/)
  t.true(readFileSync(join(folder, `tiny/checkpoint-${String(last).padStart(8, '0')}.safetensors`)).length > 1000)
})

test.serial('a disk that is full keeps the last checkpoint, says what to do, and the run can go on', async (t) => {
  const [whole, full] = [await recipeFile(t), await recipeFile(t)]
  t.is((await runCli(['train', whole.file, ...small])).code, 0)
  t.is((await runCli(['train', full.file, '--set', 'train.steps=2', ...small])).code, 0)
  const checkpoint = join(full.folder, 'tiny/checkpoint-00000002.safetensors')
  const before = readFileSync(checkpoint)
  const args = ['train', full.file, '--resume', '--set', 'output.checkpoint_every_n_steps=1', ...small]
  const failed = await startCli(args, { limitKiB: 400 }).result
  t.is(failed.code, 1)
  t.true(before.length > 400 * 1024, 'the limit is below the size of a checkpoint')
  t.regex(failed.err, /error: .*checkpoint-00000003\.safetensors/)
  t.true(failed.err.includes(`The last checkpoint is complete: ${checkpoint}`))
  t.regex(failed.err, /--resume/)
  t.true(readFileSync(checkpoint).equals(before))
  t.is((await runCli(['train', full.file, '--resume', ...small])).code, 0)
  t.true(
    readFileSync(join(full.folder, 'tiny.safetensors')).equals(readFileSync(join(whole.folder, 'tiny.safetensors'))),
  )
})
