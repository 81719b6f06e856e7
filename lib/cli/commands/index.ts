/** The commands, in the order in which help shows them. Adding one is a file here and one line below. */
import type { Command } from '../command'
import { generateCommand } from './generate'
import { inspectCommand } from './inspect'

export const commands: readonly Command[] = [generateCommand, inspectCommand]
