import test from 'ava'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as api from '../../lib/index'
import { packageRoot } from '../../lib/native-loader'
import { temporaryFolder } from '../helpers/safetensors-bytes'
import { tinyModel } from '../helpers/tiny-pipeline'

const page = readFileSync(join(packageRoot(), 'docs', 'reference', 'api.md'), 'utf8')

test('the example of the API page runs', async (t) => {
  const folder = temporaryFolder()
  const [, example = ''] = /```js\n([\s\S]*?)```/.exec(page) ?? []
  // The same code, with the model of the fixtures and files in a folder of its own.
  const places: [string, string][] = [
    ["'models/sd-v1-5'", tinyModel],
    ["'ohwx.safetensors'", join(folder, 'ohwx.safetensors')],
    ["'ohwx.png'", join(folder, 'ohwx.png')],
  ]
  const code = places.reduce((text, [from, to]) => {
    t.true(text.includes(from), `the example names ${from}`)
    return text.replaceAll(from, JSON.stringify(to))
  }, example)
  const printed: string[] = []
  const require = (name: string) => (t.is(name, 'lorikeet'), api)
  const AsyncFunction = (async () => {}).constructor as new (...args: string[]) => (...args: unknown[]) => Promise<void>
  await new AsyncFunction('require', 'console', code)(require, { log: (text: string) => printed.push(text) })

  t.is(printed.length, 5)
  for (const line of printed) t.regex(line, /^step \d: loss \d+\.\d{4}, norm of the gradients \d+\.\d{4}$/)
  t.like(api.inspectFile(join(folder, 'ohwx.safetensors')).lora?.ranks[0], { rank: 8, alpha: 4 })
  t.like(api.readPngSettings(join(folder, 'ohwx.png')), {
    prompt: 'a photo of ohwx, watercolour',
    seed: 1,
    loras: [{ name: 'ohwx', strength: 0.8, clipStrength: 0.8 }],
  })
})

test('the page describes nothing that is not there', (t) => {
  const named = [...page.matchAll(/^\| (.+?) \|/gm)].flatMap(([, cell]) => [...cell!.matchAll(/(?<![.\w])([a-z]\w+)(?:\(|`)/g)])
  const names = named.map(([, name]) => name!).filter((name) => !['pipe', 'trainer'].includes(name))
  t.true(names.length > 20)
  t.deepEqual(names.filter((name) => !(name in api)), [])
})
