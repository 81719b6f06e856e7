/** The commands, in the order in which help shows them. Adding one is a file here and one line below. */
import type { Command } from '../command'
import { benchCommand } from './bench'
import { convertCommand } from './convert'
import { doctorCommand } from './doctor'
import { generateCommand } from './generate'
import { inspectCommand } from './inspect'
import { planCommand } from './plan'
import { trainCommand } from './train'

export const commands: readonly Command[] = [
  trainCommand,
  planCommand,
  generateCommand,
  inspectCommand,
  convertCommand,
  benchCommand,
  doctorCommand,
]
