/** Runs the command line in this process and catches what it prints. */
import { main } from '../../lib/cli/main'

export interface CliResult {
  code: number
  out: string
  err: string
  /** Standard output as JSON, one record a line. */
  records(): Record<string, unknown>[]
}

/** Standard streams are the process's, so runs wait for each other. */
let last: Promise<unknown> = Promise.resolve()

export function runCli(args: readonly string[]): Promise<CliResult> {
  const result = last.then(() => catchOutput(args))
  last = result.catch(() => undefined)
  return result
}

async function catchOutput(args: readonly string[]): Promise<CliResult> {
  const texts = { stdout: '', stderr: '' }
  const streams = ['stdout', 'stderr'] as const
  const restore = streams.map((name) => {
    const { write } = process[name]
    process[name].write = ((text: string | Uint8Array) => ((texts[name] += String(text)), true)) as typeof write
    return () => (process[name].write = write)
  })
  try {
    const code = await main(args)
    const records = () => texts.stdout.split('\n').filter(Boolean).map((line) => JSON.parse(line) as Record<string, unknown>)
    return { code, out: texts.stdout, err: texts.stderr, records }
  } finally {
    for (const undo of restore) undo()
  }
}
