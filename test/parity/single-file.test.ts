import test from 'ava'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LorikeetError } from '../../lib/base/errors'
import { surveyNetworks } from '../../lib/pipeline/networks'
import type { Pipeline } from '../../lib/pipeline/pipeline'
import { fixturePath, numbers, readFixtureTensors } from '../helpers/fixture-tensors'
import { safetensorsBytes, temporaryFolder } from '../helpers/safetensors-bytes'
import { loadTiny, rowsOf, tinyModel, values } from '../helpers/tiny-pipeline'

const single = fixturePath('sd15-tiny', 'single', 'sd15-tiny.safetensors')

/** The checkpoint with the configurations in its metadata, which tell what its tensors do not. */
function withConfigs(): string {
  const bytes = readFileSync(single)
  const headerBytes = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes)) as { __metadata__?: object }
  const config = (folder: string) => JSON.parse(readFileSync(join(tinyModel, folder, 'config.json'), 'utf8')) as object
  const configs = { unet: config('unet'), vae: config('vae'), textEncoder: config('text_encoder') }
  const metadata = { ...header.__metadata__, 'lorikeet.configs': JSON.stringify(configs) }
  const file = join(temporaryFolder(), 'tiny.safetensors')
  writeFileSync(file, safetensorsBytes({ ...header, __metadata__: metadata }, bytes.subarray(8 + headerBytes)))
  return file
}

test('the weights of a single file are those of the folder, bit for bit', async (t) => {
  const pipes = [await loadTiny('f32'), await loadTiny('f32', withConfigs())]
  const { requests } = surveyNetworks(pipes[0]!.base.config)
  for (const pipe of pipes) await pipe.runtime.loadWeights(requests)
  const bits = (pipe: Pipeline, name: string) => Buffer.from(pipe.runtime.engine.readWeight(name).buffer)
  const names = [...new Set(requests.map(({ name }) => name))]
  t.true(names.length > 500, `${names.length} weights`)
  t.deepEqual(names.filter((name) => !bits(pipes[0]!, name).equals(bits(pipes[1]!, name))), [])
  for (const pipe of pipes) pipe.close()
})

test('a single file computes what the folder computes, bit for bit', async (t) => {
  const unet = readFixtureTensors('sd15-tiny', 'unet.safetensors')
  const text = readFixtureTensors('sd15-tiny', 'text_encoder.safetensors')
  const vae = readFixtureTensors('sd15-tiny', 'vae.safetensors')
  const run = async (pipe: Pipeline) => {
    const input = { latents: values(unet, 'a.x'), timesteps: numbers(unet, 'a.t'), context: values(unet, 'a.emb') }
    const results = [
      await pipe.predict(input),
      await pipe.encodeIds(rowsOf(text, 'ids')),
      (await pipe.encodeImage(values(vae, 's1.image'))).mean,
      await pipe.decodeLatents(values(vae, 's1.latents')),
    ]
    pipe.close()
    return results
  }
  t.deepEqual(await run(await loadTiny('f32', withConfigs())), await run(await loadTiny('f32')))
})

test('a single file that does not tell its norm groups is refused with the way out', async (t) => {
  const error = await t.throwsAsync(loadTiny('f32', single), { instanceOf: LorikeetError })
  t.is(error?.kind, 'input')
  t.regex(error?.message ?? '', /norm_num_groups.*diffusers folder/)
})
