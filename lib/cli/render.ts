/**
 * What the command line prints. Results go to standard output: text for people, or with `--json` one object a line and
 * nothing else. Notes, errors and progress go to standard error.
 */
import { LorikeetError } from '../base/errors'
import { formatDuration } from '../base/units'

/** What `--json` prints: `event` says what the other fields are. */
export type JsonRecord = { event: string } & Record<string, unknown>

export interface Renderer {
  readonly json: boolean
  /** A result: `text` for people, `record` with `--json`. Undefined leaves that side out. */
  print(text: string | undefined, record?: JsonRecord): void
  /** A note while the command runs. */
  say(text: string): void
  /** Progress of something with a known end. */
  bar(label: string, total: number): Bar
}

export interface Bar {
  /** @param details behind the count, e.g. "loss 0.123" */
  update(done: number, details?: string): void
  /** Takes the bar off the screen. */
  end(): void
}

/** Where things are written; standard streams unless a test says otherwise. */
export interface Streams {
  out: { write(text: string): unknown }
  err: { write(text: string): unknown; isTTY?: boolean; columns?: number }
}

/** In a terminal a bar is redrawn this often; elsewhere a line is written this often. */
const redrawMs = { terminal: 100, file: 30_000 }

export function createRenderer(
  json: boolean,
  { out, err }: Streams = { out: process.stdout, err: process.stderr },
): Renderer {
  let drawn = ''
  const clear = () => {
    if (drawn) err.write('\r\x1b[2K')
  }
  const redraw = () => {
    if (drawn) err.write(drawn)
  }
  const around = (write: () => void) => {
    clear()
    write()
    redraw()
  }
  return {
    json,
    print(text, record) {
      if (json && record) around(() => out.write(`${JSON.stringify(record)}\n`))
      if (!json && text !== undefined) around(() => out.write(`${text}\n`))
    },
    say: (text) => around(() => err.write(`${text}\n`)),
    bar(label, total) {
      const speed = createSpeed()
      // A file gets no line for what is done at once.
      let last = err.isTTY ? -Infinity : performance.now()
      return {
        update(done, details = '') {
          const now = performance.now()
          speed.note(done, now)
          if (now - last < (err.isTTY ? redrawMs.terminal : redrawMs.file) && !(err.isTTY && done >= total)) return
          last = now
          const line = barLine(label, { done, total, perSecond: speed.perSecond() }, details)
          if (!err.isTTY) {
            err.write(`${line}\n`)
            return
          }
          clear()
          drawn = withBar(line, done / Math.max(1, total), err.columns ?? 80)
          redraw()
        },
        end() {
          clear()
          drawn = ''
        },
      }
    },
  }
}

/** Speed over the last updates, so that a slow start or a sample in between is forgotten. */
export function createSpeed(window = 20): { note(done: number, ms: number): void; perSecond(): number | undefined } {
  const marks: { done: number; ms: number }[] = []
  return {
    note(done, ms) {
      if (marks.at(-1)?.done === done) return
      marks.push({ done, ms })
      if (marks.length > window) marks.shift()
    },
    perSecond() {
      const [first, last] = [marks[0], marks.at(-1)]
      if (!first || !last || last.ms <= first.ms) return undefined
      return ((last.done - first.done) / (last.ms - first.ms)) * 1000
    },
  }
}

/** "Training 12/100  loss 0.123  1.50 it/s  0:59 left" */
export function barLine(
  label: string,
  { done, total, perSecond }: { done: number; total: number; perSecond: number | undefined },
  details: string,
): string {
  const parts = [`${label} ${done}/${total}`, details]
  if (perSecond) {
    parts.push(perSecond >= 1 ? `${perSecond.toFixed(2)} it/s` : `${(1 / perSecond).toFixed(2)} s/it`)
    if (done < total) parts.push(`${formatDuration((total - done) / perSecond)} left`)
  }
  return parts.filter(Boolean).join('  ')
}

/** The line with a drawn bar where the terminal has room for one. */
function withBar(line: string, share: number, columns: number): string {
  const room = Math.min(30, columns - line.length - 4)
  if (room < 8) return line.slice(0, Math.max(0, columns - 1))
  const full = Math.round(Math.min(1, Math.max(0, share)) * room)
  return `[${'='.repeat(full)}${' '.repeat(room - full)}] ${line}`
}

/** Columns padded to equal width; numbers, which start with a digit, to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const cell = (text: string, width: number) => (/^[\d-]/.test(text) ? text.padStart(width) : text.padEnd(width))
  return rows
    .map((row) =>
      row
        .map((text, i) => cell(text, widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** One or several sentences without a stack, unless LORIKEET_DEBUG=1 asks for it. */
export function renderError(error: unknown, env: NodeJS.ProcessEnv = process.env): string {
  if (env.LORIKEET_DEBUG === '1' && error instanceof Error) return error.stack ?? error.message
  const text = error instanceof Error ? error.message : String(error)
  if (error instanceof LorikeetError) return `error: ${text}`
  return `error: ${text}\nThis is not expected. LORIKEET_DEBUG=1 shows where it happened`
}

export function errorRecord(error: unknown): JsonRecord {
  const message = error instanceof Error ? error.message : String(error)
  if (!(error instanceof LorikeetError)) return { event: 'error', kind: 'failed', message }
  const { where, expected, received, fix } = error.details
  return { event: 'error', kind: error.kind, message, where, expected, received, fix }
}
