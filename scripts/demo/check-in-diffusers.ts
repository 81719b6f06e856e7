/**
 * The same LoRA on the same base gives the same pictures in diffusers: converts the base with `lorikeet convert`, draws
 * the same prompts from the same noise with both (in f32, as diffusers does on a CPU), and compares them. Exit code 1
 * below 35 dB.
 *
 *   npx ts-node --transpile-only scripts/demo/check-in-diffusers.ts --base demo --lora FILE --python FILE
 *     [--prompt TEXT ...] [--sampler NAME ...] [--strength N ...] [--steps N] [--cfg N] [--size PIXELS] [--out FOLDER]
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { generate, loadPipeline, openDevice } from '../../lib/index'
import { atLeast, type Check, conclude, decibels, writeJson } from './measure/checks'
import { type GridRow, pictureGrid } from './measure/grid'
import { type Picture, psnr, readPicture, toPicture } from './measure/picture'

const leastPsnr = 35
const root = path.join(__dirname, '..', '..')

const { values: given } = parseArgs({
  options: {
    base: { type: 'string', default: 'demo' },
    lora: { type: 'string' },
    python: { type: 'string', default: 'python3' },
    out: { type: 'string', default: path.join('output', 'check-in-diffusers') },
    prompt: { type: 'string', multiple: true, default: ['fox, inkline', 'strawberry, inkline', 'sailboat, inkline'] },
    sampler: { type: 'string', multiple: true, default: ['ddim', 'dpmpp_2m'] },
    strength: { type: 'string', multiple: true, default: ['0', '0.7', '1'] },
    steps: { type: 'string', default: '20' },
    cfg: { type: 'string', default: '4' },
    size: { type: 'string', default: '128' },
    seed: { type: 'string', default: '1' },
  },
})

interface Settings {
  lora: string
  prompts: string[]
  samplers: string[]
  strengths: number[]
  steps: number
  cfg: number
  size: number
  seed: number
}

type Key = `${string}-${number}-${number}`
const keyOf = (sampler: string, prompt: number, strength: number): Key => `${sampler}-${prompt}-${strength}`

function run(command: string, argv: readonly string[]): void {
  // PyTorch warns of processors that a library of it does not know, once a convolution.
  const env = { ...process.env, TORCH_CPP_LOG_LEVEL: 'ERROR' }
  const { status, error } = spawnSync(command, argv, { cwd: root, stdio: 'inherit', env })
  if (error) throw error
  if (status !== 0) throw new Error(`${command} ${argv.join(' ')} ended with exit code ${status}`)
}

/** A folder as diffusers reads it: the base itself, or the base converted. */
function diffusersFolder(base: string, folder: string): string {
  if (existsSync(path.join(base, 'model_index.json'))) return path.resolve(base)
  const file = base === 'demo' ? path.join(root, 'models', 'demo', 'lorikeet-demo.safetensors') : path.resolve(base)
  rmSync(folder, { recursive: true, force: true })
  const cli = ['-r', 'ts-node/register/transpile-only', path.join(root, 'lib', 'cli', 'main.ts')]
  run(process.execPath, [...cli, 'convert', file, '--to', 'diffusers', '--out', folder])
  return folder
}

async function drawHere(settings: Settings): Promise<Map<Key, Picture>> {
  const { lora, prompts, samplers, strengths, steps, cfg, size, seed } = settings
  const pictures = new Map<Key, Picture>()
  const pipe = await loadPipeline(given.base, { device: openDevice('cpu', { computeDtype: 'f32' }) })
  try {
    for (const [s, strength] of strengths.entries())
      for (const sampler of samplers)
        for (const [p, prompt] of prompts.entries()) {
          const loras = [{ file: lora, strength }]
          const options = { prompt, loras, sampler, steps, cfg, width: size, height: size, seed: seed + p }
          const { images } = await generate(pipe, options)
          pictures.set(keyOf(sampler, p, s), toPicture(images[0]))
        }
  } finally {
    pipe.close()
  }
  return pictures
}

/** That the LoRA's own effect is far above what may differ: else the other checks would say nothing about it. */
function loraShows({ samplers, prompts, strengths }: Settings, ours: ReadonlyMap<Key, Picture>): Check {
  const [weakest, strongest] = [Math.min(...strengths), Math.max(...strengths)].map((one) => strengths.indexOf(one))
  const values = samplers.flatMap((sampler) =>
    prompts.map((_, p) => psnr(ours.get(keyOf(sampler, p, weakest))!, ours.get(keyOf(sampler, p, strongest))!)),
  )
  const nearest = Math.max(...values)
  const what = `PSNR between the least and the greatest strength <= ${decibels(leastPsnr - 5)}`
  return { what, value: decibels(nearest), passed: nearest <= leastPsnr - 5 }
}

async function main(): Promise<void> {
  if (!given.lora) throw new Error('give --lora FILE')
  const out = path.resolve(given.out)
  mkdirSync(out, { recursive: true })
  const settings: Settings = {
    lora: path.resolve(given.lora),
    prompts: given.prompt,
    samplers: given.sampler,
    strengths: given.strength.map(Number),
    steps: Number(given.steps),
    cfg: Number(given.cfg),
    size: Number(given.size),
    seed: Number(given.seed),
  }
  const model = diffusersFolder(given.base, path.join(out, 'model'))
  const theirs = path.join(out, 'diffusers')
  const file = path.join(out, 'settings.json')
  writeJson(file, { ...settings, model, out: theirs })
  const ours = await drawHere(settings)
  run(given.python, [path.join(__dirname, 'check_in_diffusers.py'), file])

  const cases: { sampler: string; prompt: string; strength: number; psnr: number | null }[] = []
  const rows: GridRow[] = []
  for (const [s, strength] of settings.strengths.entries())
    for (const sampler of settings.samplers) {
      const pairs: Picture[] = []
      for (const [p, prompt] of settings.prompts.entries()) {
        const key = keyOf(sampler, p, s)
        const pair = [ours.get(key)!, await readPicture(path.join(theirs, `${key}.png`))]
        const value = psnr(pair[0], pair[1])
        cases.push({ sampler, prompt, strength, psnr: Number.isFinite(value) ? value : null })
        pairs.push(...pair)
        console.log(`${sampler}  strength ${strength}  ${prompt}: ${decibels(value)}`)
      }
      rows.push({ label: `${sampler} ${strength}`, pictures: pairs })
    }
  const columns = settings.prompts.flatMap(() => ['lorikeet', 'diffusers'])
  writeFileSync(path.join(out, 'pairs.png'), await pictureGrid({ columns, rows }))
  const versions = JSON.parse(readFileSync(path.join(theirs, 'versions.json'), 'utf8')) as object
  const checks = settings.strengths.map((strength) => {
    const values = cases.filter((one) => one.strength === strength).map((one) => one.psnr ?? Infinity)
    return atLeast(`worst PSNR at strength ${strength}`, Math.min(...values), leastPsnr, decibels)
  })
  checks.push(loraShows(settings, ours))
  conclude(out, 'check-in-diffusers', { base: given.base, ...settings, versions, cases }, checks)
}

void main()
