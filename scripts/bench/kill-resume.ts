/**
 * Kills a training run at random moments (SIGKILL, so nothing can be tidied up), resumes it each time, and compares the
 * LoRA with that of a run in one go. Every file that is there after a kill must be whole.
 *
 *     npx ts-node --transpile-only scripts/bench/kill-resume.ts [kills] [steps] [seed]
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import sharp from 'sharp'
import { stringify } from 'yaml'
import { philoxUniform } from '../../lib/base/philox'
import { openSafetensors } from '../../lib/formats/safetensors'

const root = join(__dirname, '../..')

export interface KillResult {
  kills: { afterSteps: number; delayMs: number }[]
  /** sha256 of the LoRA of the run in one go, and of the one that was killed. */
  whole: string
  resumed: string
}

export async function killAndResume({
  kills,
  steps,
  seed,
}: {
  kills: number
  steps: number
  seed: number
}): Promise<KillResult> {
  const folder = mkdtempSync(join(tmpdir(), 'lorikeet-kill-'))
  try {
    const recipes = await Promise.all(['whole', 'killed'].map((name) => writeRecipe(folder, name, steps)))
    const started = performance.now()
    const whole = start(recipes[0]!)
    await whole.exit()
    const stepMs = (performance.now() - started) / steps
    const random = philoxUniform({ seed, stream: 0, step: 0 }, new Float32Array(2 * kills))
    const done: KillResult['kills'] = []
    for (let i = 0; i < kills; i++) {
      const afterSteps = Math.floor(random[2 * i]! * (steps / kills))
      // Anywhere in a step, a save or, with no step done, the start.
      const delayMs = Math.round(random[2 * i + 1]! * (afterSteps === 0 ? 10 : 1.5) * stepMs)
      const run = start(recipes[1]!)
      await run.steps(afterSteps)
      await sleep(delayMs)
      run.child.kill('SIGKILL')
      await run.ended
      checkFiles(join(folder, 'killed'))
      done.push({ afterSteps, delayMs })
    }
    await start(recipes[1]!).exit()
    return {
      kills: done,
      whole: hashOf(join(folder, 'whole/run.safetensors')),
      resumed: hashOf(join(folder, 'killed/run.safetensors')),
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Pictures of its own, so that the caches are part of the test. */
async function writeRecipe(folder: string, name: string, steps: number): Promise<string> {
  const pictures = join(folder, name, 'pictures')
  mkdirSync(pictures, { recursive: true })
  for (let i = 0; i < 6; i++) {
    const background = { r: 40 * i, g: 250 - 30 * i, b: 90 }
    await sharp({ create: { width: 64, height: 64, channels: 3, background } })
      .png()
      .toFile(join(pictures, `${i}.png`))
    writeFileSync(join(pictures, `${i}.txt`), `picture, number ${i}`)
  }
  const recipe = {
    base: join(root, 'test/fixtures/sd15-tiny/model'),
    output: { name: 'run', dir: join(folder, name), checkpoint_every_n_steps: 2, save_every_n_steps: 5, keep_last: 2 },
    dataset: { image_dir: pictures, resolution: 64, batch_size: 2, flip_aug: true },
    adapter: { rank: 4 },
    train: { steps, unet_lr: 1e-3 },
    lr_schedule: { kind: 'cosine', warmup: 2 },
  }
  const file = join(folder, `${name}.yaml`)
  writeFileSync(file, stringify(recipe))
  return file
}

interface Running {
  child: ChildProcess
  /** Resolves when the process is gone, however. */
  ended: Promise<number | null>
  /** Resolves when that many steps were done in this process, or it ended. */
  steps(count: number): Promise<void>
  /** @throws when the command fails */
  exit(): Promise<void>
}

function start(recipe: string): Running {
  const args = [
    '-r',
    'ts-node/register/transpile-only',
    'lib/cli/main.ts',
    'train',
    recipe,
    '--resume',
    '--json',
    '--threads',
    '1',
    '--compute-dtype',
    'f32',
  ]
  // The time stands in the file's metadata; with this it is the same in both.
  const child = spawn(process.execPath, args, { cwd: root, env: { ...process.env, SOURCE_DATE_EPOCH: '1700000000' } })
  let seen = 0
  let errors = ''
  const waiting: { count: number; resolve: () => void }[] = []
  const wake = () => waiting.filter(({ count }) => seen >= count).forEach(({ resolve }) => resolve())
  child.stdout.on('data', (text: Buffer) => {
    seen += String(text).split('{"event":"step"').length - 1
    wake()
  })
  child.stderr.on('data', (text: Buffer) => (errors += String(text)))
  const ended = new Promise<number | null>((resolve) => child.on('exit', resolve))
  void ended.then(() => {
    seen = Infinity
    wake()
  })
  return {
    child,
    ended,
    steps: (count) => new Promise((resolve) => (seen >= count ? resolve() : waiting.push({ count, resolve }))),
    async exit() {
      const code = await ended
      if (code !== 0) throw new Error(`the run ended with ${code}:\n${errors}`)
    },
  }
}

/** Opening checks that a file has all that its header promises. */
function checkFiles(folder: string): void {
  const run = join(folder, 'run')
  const files = [...list(folder), ...list(run)].filter((file) => file.endsWith('.safetensors'))
  for (const file of files) openSafetensors(file)
}

function list(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : []
}

function hashOf(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex')
}

async function main(): Promise<void> {
  const [kills = 10, steps = 60, seed = Date.now() % 1e6] = process.argv.slice(2).map(Number)
  console.log(`${kills} kills, ${steps} steps, seed ${seed}`)
  const result = await killAndResume({ kills, steps, seed })
  for (const { afterSteps, delayMs } of result.kills)
    console.log(`killed ${delayMs} ms after step ${afterSteps} of that attempt`)
  console.log(`in one go ${result.whole}\nkilled    ${result.resumed}`)
  if (result.whole !== result.resumed) throw new Error('the files differ')
}

if (require.main === module)
  main().catch((error: unknown) => {
    console.error(error)
    process.exitCode = 1
  })
