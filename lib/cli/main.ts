#!/usr/bin/env node
/** The command line: reads arguments, runs one command, renders what it throws, and gives the exit code. */
import yargs, { type Argv } from 'yargs'
import { exitCodes, LorikeetError } from '../base/errors'
import { packageVersion } from '../native-loader'
import { commands } from './commands'
import { explain } from './engine-errors'
import { createRenderer, errorRecord, renderError } from './render'

/** @param args without node and script */
export async function main(args: readonly string[]): Promise<number> {
  const renderer = createRenderer(args.includes('--json'))
  try {
    await parser(args).parseAsync()
    return exitCodes.done
  } catch (thrown) {
    const error = explain(thrown)
    renderer.print(undefined, errorRecord(error))
    renderer.say(renderError(error))
    return error instanceof LorikeetError ? error.exitCode : exitCodes.failed
  }
}

/** The help of a command, or with no name that of all, 100 columns wide. */
export async function helpOf(command: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    void parser([...command, '--help'], 100).parse([...command, '--help'], {}, (_error, _args, output) =>
      resolve(output),
    )
  })
}

function parser(args: readonly string[], columns = Math.min(100, process.stdout.columns ?? 100)) {
  const base: Argv = yargs([...args]).scriptName('lorikeet')
  return commands
    .reduce((parser, add) => add(parser), base)
    .usage('$0 COMMAND\n\nTrains LoRA adapters for image-diffusion models.')
    .parserConfiguration({ 'duplicate-arguments-array': true, 'greedy-arrays': false, 'camel-case-expansion': true })
    .demandCommand(1, 1, 'Say which command to run', 'Only one command can be run at a time')
    .recommendCommands()
    .strict()
    .version(packageVersion())
    .alias({ help: 'h' })
    .locale('en')
    .wrap(columns)
    .exitProcess(false)
    .fail((message, error) => {
      // What a command throws passes; what yargs itself finds wrong is bad usage.
      if (error && error.name !== 'YError') throw error
      const missing = /^Not enough non-option arguments/.test(message ?? '') ? 'An argument is missing' : undefined
      throw new LorikeetError('usage', missing ?? message ?? error.message, {
        fix: 'See lorikeet --help, or lorikeet COMMAND --help',
      })
    })
}

/** `lorikeet inspect x | head` closes the pipe early: no error. */
function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(exitCodes.done)
  throw error
}

if (require.main === module) {
  process.stdout.on('error', ignoreClosedPipe)
  void main(process.argv.slice(2)).then((code) => {
    // A command that a signal stopped has set its own code.
    if (code !== exitCodes.done || process.exitCode === undefined) process.exitCode = code
  })
}
