/** How a command file presents itself to the list: typed inside, one type outside. */
import type { Argv, CommandModule } from 'yargs'

/** Adds one command to the parser. */
export type Command = (parser: Argv) => Argv

export function defineCommand<Args>(module: CommandModule<object, Args>): Command {
  return (parser) => parser.command(module)
}
