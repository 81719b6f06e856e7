/** The commands, in the order in which help shows them. Adding one is a file here and one line below. */
import type { Command } from '../command'

export const commands: readonly Command[] = []
