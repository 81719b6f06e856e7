/** Runs the command line: inside the test, which is quick, or as people do, in a process of its own. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { join } from 'node:path'
import { main } from '../../lib/cli/main'

export interface CliResult {
  code: number | null
  signal: NodeJS.Signals | null
  out: string
  err: string
}

const root = join(__dirname, '../..')

export function startCli(
  args: readonly string[],
  { limitKiB, env = {} }: { limitKiB?: number; env?: Record<string, string> } = {},
): { child: ChildProcessWithoutNullStreams; result: Promise<CliResult> } {
  const command = [process.execPath, '-r', 'ts-node/register/transpile-only', 'lib/cli/main.ts', ...args]
  // The shell's limit on the size of files stands in for a full disk.
  const [file, ...rest] =
    limitKiB === undefined ? command : ['bash', '-c', `ulimit -f ${limitKiB}; exec "$@"`, 'bash', ...command]
  // ts-node's cache of compiled code does not survive the limit.
  const fixed = { SOURCE_DATE_EPOCH: '1700000000', DISABLE_V8_COMPILE_CACHE: '1' }
  const child = spawn(file!, rest, { cwd: root, env: { ...process.env, ...fixed, ...env } })
  let [out, err] = ['', '']
  child.stdout.on('data', (text: Buffer) => (out += String(text)))
  child.stderr.on('data', (text: Buffer) => (err += String(text)))
  const result = new Promise<CliResult>((resolve) =>
    child.on('close', (code, signal) => resolve({ code, signal, out, err })),
  )
  return { child, result }
}

/** Only one at a time, since it takes over the standard streams. */
export async function runCli(args: readonly string[]): Promise<Omit<CliResult, 'signal'>> {
  const written = { out: '', err: '' }
  const take = (name: keyof typeof written) => (text: string | Uint8Array) => {
    written[name] += String(text)
    return true
  }
  const [out, err] = [process.stdout.write, process.stderr.write]
  process.stdout.write = take('out') as typeof out
  process.stderr.write = take('err') as typeof err
  try {
    const code = await main(args)
    return { code, ...written }
  } finally {
    process.stdout.write = out
    process.stderr.write = err
  }
}
