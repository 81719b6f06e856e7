/** Errors of the engine that have an exit code of their own. */
import { LorikeetError } from '../base/errors'
import { isOutOfMemory } from '../native'

/** What a command has thrown, as it is shown: a card that ran out in the middle of a run is a matter of memory. */
export function explain(error: unknown): unknown {
  if (!isOutOfMemory(error)) return error
  return new LorikeetError('memory', error.message, {
    fix: '`lorikeet plan` shows what a run takes, and its settings; what other programs have taken of the card is not there for it',
    cause: error,
  })
}
