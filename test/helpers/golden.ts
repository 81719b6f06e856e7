/** Compares text with a file below test/golden. To accept a change, run with UPDATE_GOLDEN=1 and read the diff. */
import type { ExecutionContext } from 'ava'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'

export function matchesGolden(t: ExecutionContext, name: string, text: string): void {
  const file = path.join(__dirname, '..', 'golden', name)
  if (process.env.UPDATE_GOLDEN) writeFileSync(file, text)
  t.true(existsSync(file), `test/golden/${name} is missing`)
  t.is(text, readFileSync(file, 'utf8'))
}
