/**
 * The one error class that people see. An error is a record (so tests assert fields) that is rendered as sentences
 * (so people read what was wrong, where, what was expected, and what to do).
 */

/** Exit codes of the command line (documented in docs/reference/exit-codes.md). */
export const exitCodes = {
  done: 0,
  failed: 1,
  usage: 2, // bad command line or bad recipe
  input: 3, // bad input file
  memory: 4, // does not fit in memory
  diverged: 5, // non-finite loss
} as const

/** The kinds of failure, named as in `exitCodes` (there is no error of kind `done`). */
export type ErrorKind = Exclude<keyof typeof exitCodes, 'done'>

export interface ErrorDetails {
  /** The file, recipe key, tensor or op at fault. */
  where?: string
  /** What would have been right. */
  expected?: string
  /** What came instead. */
  received?: string
  /** What the person can do about it. The clause they remember. */
  fix?: string
  cause?: unknown
}

/**
 * @example throw new LorikeetError('input', 'the header is longer than the file', {
 *   where: 'base.safetensors', received: '9000 bytes', expected: 'at most 512 bytes', fix: 'download the file again' })
 */
export class LorikeetError extends Error {
  readonly kind: ErrorKind
  readonly problem: string
  readonly details: ErrorDetails

  constructor(kind: ErrorKind, problem: string, details: ErrorDetails = {}) {
    super(render(problem, details), details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'LorikeetError'
    this.kind = kind
    this.problem = problem
    this.details = details
  }

  get exitCode(): number {
    return exitCodes[this.kind]
  }
}

function render(problem: string, { where, expected, received, fix }: ErrorDetails): string {
  let text = where ? `${where}: ${problem}` : problem
  if (expected !== undefined) text += `; expected ${expected}`
  if (received !== undefined) text += `${expected === undefined ? ';' : ','} received ${received}`
  return fix ? `${text}. ${fix}` : text
}
