/** What a checking script decides, prints and writes at its end. */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'

export interface Check {
  what: string
  value: string
  passed: boolean
}

export function atLeast(what: string, value: number, threshold: number, format: (value: number) => string): Check {
  return { what: `${what} >= ${format(threshold)}`, value: format(value), passed: value >= threshold }
}

export const percent = (share: number) => `${(share * 100).toFixed(1)} %`
export const decibels = (value: number) => `${value.toFixed(1)} dB`

/** Prints the checks, writes FOLDER/NAME.json, sets the exit code. */
export function conclude(folder: string, name: string, figures: object, checks: readonly Check[]): void {
  const file = path.join(folder, `${name}.json`)
  writeJson(file, { ...figures, checks })
  console.log()
  for (const { what, value, passed } of checks) console.log(`${passed ? 'ok    ' : 'FAILED'} ${what}: ${value}`)
  console.log(`Figures: ${file}`)
  if (checks.some(({ passed }) => !passed)) process.exitCode = 1
}

export function writeJson(file: string, value: object): void {
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`)
}
