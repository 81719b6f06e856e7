import test from 'ava'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { fixturePath } from '../../helpers/fixture-tensors'
import { runCli } from '../../helpers/run-cli'
import { temporaryFolder } from '../../helpers/safetensors-bytes'
import { tinyModel } from '../../helpers/tiny-pipeline'
import { startCli } from '../run-cli'

const lora = fixturePath('sd15-tiny', 'lora_inference', 'lora_a.safetensors')

test('a folder becomes a single file, for people and as one record', async (t) => {
  const place = temporaryFolder()
  const [a, b] = ['a.safetensors', 'b.safetensors'].map((name) => join(place, name))
  const first = await runCli(['convert', tinyModel, '--to', 'single-file', '--out', a!])
  t.is(first.code, 0, first.err)
  t.regex(first.out, /a\.safetensors: 2\.39 MiB, 998 tensors \(F16\)\n$/)
  t.regex(first.err, /does not say what it predicts: epsilon is assumed/)
  const second = await runCli(['convert', a!, '--to', 'single-file', '--out', b!, '--dtype', 'bf16', '--json'])
  t.deepEqual(second.records(), [
    {
      event: 'converted',
      input: a,
      from: 'single-file',
      to: 'single-file',
      out: b,
      tensors: 998,
      bytes: fs.statSync(b!).size,
      dtypes: ['BF16'],
      leftOut: [],
      notes: [],
    },
  ])
  const again = await runCli(['convert', a!, '--to', 'single-file', '--out', b!])
  t.is(again.code, 2)
  t.regex(again.err, /a file of this name already.*--overwrite/)
  t.is((await runCli(['convert', a!, '--to', 'single-file', '--out', b!, '--overwrite'])).code, 0)
})

test('the keys of a LoRA are changed', async (t) => {
  const out = join(temporaryFolder(), 'peft.safetensors')
  const { code, err, records } = await runCli(['convert', lora, '--to', 'peft', '--out', out, '--json'])
  t.is(code, 0)
  t.like(records()[0], { event: 'converted', from: 'kohya', to: 'peft', modules: 216 })
  t.regex(err, /Alpha differs from the rank/)
  t.is((await runCli(['convert', lora, '--to', 'peft', '--out', out, '--dtype', 'f16'])).code, 2)
})

test('a LoRA in place of a base model ends with exit code 3', async (t) => {
  const { code, err } = await runCli(['convert', lora, '--to', 'diffusers', '--out', join(temporaryFolder(), 'x')])
  t.is(code, 3)
  t.regex(err, /LoRA file, not a base model.*--to kohya or --to peft/)
})

test('a full disk ends with exit code 1 and leaves nothing behind', async (t) => {
  const place = temporaryFolder()
  const { result } = startCli(['convert', tinyModel, '--to', 'diffusers', '--out', join(place, 'x')], {
    limitKiB: 1000,
  })
  const { code, err } = await result
  t.is(code, 1, err)
  t.regex(err, /larger than the system allows.*Choose another folder/)
  t.deepEqual(fs.readdirSync(place), [])
})
