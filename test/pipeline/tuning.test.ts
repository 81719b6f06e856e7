/** The file that keeps which kernels are the fastest on a card: where it lies, what is read from it and written to it. */
import test from 'ava'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { openTuning, saveTuning, tuningFolder } from '../../lib/pipeline/tuning'

const card = { name: 'cuda:1', description: 'NVIDIA GeForce RTX 3060', isa: 'sm_86' }
const build = 'abcdef012345'
const newFolder = () => mkdtempSync(join(tmpdir(), 'lorikeet-tuning-'))
const open = (folder: string, device = card, of = build) => openTuning(device, { LORIKEET_TUNING: folder }, of)!

test('it lies in the cache folder of the user, or where LORIKEET_TUNING says', (t) => {
  t.is(tuningFolder({}), join(homedir(), '.cache', 'lorikeet', 'tuning'))
  t.is(tuningFolder({ XDG_CACHE_HOME: '/var/cache/me' }), '/var/cache/me/lorikeet/tuning')
  t.is(tuningFolder({ XDG_CACHE_HOME: 'not/absolute' }), join(homedir(), '.cache', 'lorikeet', 'tuning'))
  t.is(tuningFolder({ XDG_CACHE_HOME: '/var/cache/me', LORIKEET_TUNING: '/elsewhere' }), '/elsewhere')
  t.is(tuningFolder({ LORIKEET_TUNING: 'off' }), undefined)
})

test('the processor has none, nor the emulated card unless a folder is named, nor any card where it is off', (t) => {
  const sim = { name: 'cuda-sim', description: 'emulated RTX 4090', isa: 'sm_89' }
  t.is(openTuning({ ...card, name: 'cpu' }, {}, build), undefined)
  t.is(openTuning(sim, {}, build), undefined)
  t.is(openTuning(sim, { LORIKEET_TUNING: '/elsewhere' }, build)?.file, '/elsewhere/emulated-RTX-4090-sm-89-abcdef012345.json')
  t.is(openTuning(card, { LORIKEET_TUNING: 'off' }, build), undefined)
})

test('what is saved is there the next time, for that card and build only', (t) => {
  const folder = join(newFolder(), 'not', 'there', 'yet')
  const tuning = open(folder)
  t.deepEqual(tuning, { file: join(folder, 'NVIDIA-GeForce-RTX-3060-sm-86-abcdef012345.json'), choices: {} })
  saveTuning(tuning, card, {}, build)
  t.false(existsSync(folder))
  saveTuning(tuning, card, { b: '64x64', a: '128x64' }, build)
  t.deepEqual(JSON.parse(readFileSync(tuning.file, 'utf8')), {
    card: 'NVIDIA GeForce RTX 3060, sm_86',
    build,
    choices: { a: '128x64', b: '64x64' },
  })
  t.deepEqual(open(folder).choices, { a: '128x64', b: '64x64' })
  t.deepEqual(open(folder, { ...card, name: 'cuda' }).choices, { a: '128x64', b: '64x64' })
  t.deepEqual(open(folder, card, '543210fedcba').choices, {})
  t.deepEqual(open(folder, { ...card, description: 'NVIDIA GeForce RTX 4090', isa: 'sm_89' }).choices, {})
})

test('what another process saved meanwhile is kept', (t) => {
  const folder = newFolder()
  const [first, second] = [open(folder), open(folder)]
  saveTuning(first, card, { a: '128x64', b: '64x64' }, build)
  saveTuning(second, card, { b: '32x16', c: '32x16' }, build)
  t.deepEqual(open(folder).choices, { a: '128x64', b: '32x16', c: '32x16' })
  t.is(readdirSync(folder).length, 1)
})

test('a damaged file counts as empty, is named once, and is replaced', (t) => {
  const folder = newFolder()
  const { file } = open(folder)
  for (const text of ['', '{"choices": {"a": ', 'null', '[]', '{"choices": {"a": 7}}', '{"choices": null}']) {
    writeFileSync(file, text)
    const tuning = open(folder)
    t.deepEqual(tuning.choices, {}, text)
    t.true(tuning.problem?.includes(file), text)
    saveTuning(tuning, card, { a: '64x64' }, build)
    t.deepEqual(open(folder), { file, choices: { a: '64x64' } }, text)
  }
})

test('where nothing can be written, nothing happens', (t) => {
  const folder = join(newFolder(), 'a file')
  writeFileSync(folder, '')
  t.notThrows(() => saveTuning(open(folder), card, { a: '64x64' }, build))
  const other = newFolder()
  mkdirSync(open(other).file)
  t.deepEqual(open(other).choices, {})
  t.notThrows(() => saveTuning(open(other), card, { a: '64x64' }, build))
})

test('an engine leaves what it measured to the next one', (t) => {
  const folder = newFolder()
  const source = `
    const { openDevice } = require('./lib/pipeline/device')
    const device = () => openDevice('cuda-sim', { computeDtype: 'bf16' })
    const { tuning, openEngine } = device()
    const engine = openEngine()
    const tensor = (shape, offset) => ({ dtype: 'bf16', shape, space: 'arena', offset, name: String(offset) })
    const lowRank = { adapters: 0, up_adapter: [], up_column: [], up_rank: [], scale: [] }
    const program = engine.compile({
      version: 1, label: 'product', arenaBytes: 98304, inputs: [], outputs: [],
      tensors: [tensor([128, 128], 0), tensor([128, 128], 32768), tensor([128, 128], 65536)],
      instructions: [{ op: 'linear', inputs: [0, 1], outputs: [2], attributes: lowRank }],
    })
    engine.run([{ program, inputs: {} }]).then(() => {
      engine.close()
      engine.close()
      console.log(JSON.stringify([tuning, device().tuning]))
    })`
  const args = ['--require', 'ts-node/register/transpile-only', '-e', source]
  const env = { ...process.env, LORIKEET_TUNING: folder, LORIKEET_CUDA_SIM: 'sampled' }
  const [before, after] = JSON.parse(execFileSync(process.execPath, args, { env, encoding: 'utf8', cwd: join(__dirname, '../..') }))
  t.is(before.entries, 0)
  t.is(after.entries, 1)
  t.deepEqual(Object.keys(JSON.parse(readFileSync(after.file, 'utf8')).choices), ['matmul bf16 m128 n128 k128'])
})
