/**
 * Where the values of a recipe come from: the YAML file (JSON is YAML) and the `--set` options that override it. Knows
 * the line of everything, for messages.
 */
import { readFileSync, statSync } from 'node:fs'
import { isMap, isNode, isScalar, LineCounter, parseDocument, type Document } from 'yaml'
import { LorikeetError } from '../base/errors'

export type Path = readonly PropertyKey[]

export interface RecipeSource {
  /** Plain data, not yet checked. */
  data: unknown
  /** "recipe.yaml:12" or "--set train.seed" for the value at a path, or for its key. */
  locate(path: Path): string
}

/** Recipes are written by people; more than this is another kind of file. */
const maxBytes = 2 ** 20

/**
 * @param overrides as given to `--set`: "train.steps=100"
 * @throws LorikeetError (usage) when the file cannot be read or is no YAML mapping, with the line
 */
export function openRecipe(file: string, overrides: readonly string[] = []): RecipeSource {
  return parseRecipe(file, readText(file), overrides)
}

/** `openRecipe` for a text in memory; `name` stands for it in messages. */
export function parseRecipe(name: string, text: string, overrides: readonly string[] = []): RecipeSource {
  const lines = new LineCounter()
  const document = parseYaml(
    text,
    (offset) => (offset === undefined ? name : `${name}:${lines.linePos(offset).line}`),
    lines,
  )
  if (!isMap(document.contents)) throw wrong(name, 'a recipe is a mapping', 'lines such as "base: model.safetensors"')
  const data = toPlain(name, document) as Record<string, unknown>
  const set = overrides.map(readOverride)
  for (const { path, value } of set) override(data, path, value)
  return {
    data,
    locate(path) {
      const by = set.findLast((entry) => startsWith(path, entry.path) || startsWith(entry.path, path))
      if (by && startsWith(path, by.path)) return `--set ${by.path.join('.')}`
      const offset = offsetOf(document, path)
      return offset === undefined ? name : `${name}:${lines.linePos(offset).line}`
    },
  }
}

function readText(file: string): string {
  try {
    const stats = statSync(file)
    if (!stats.isFile()) throw wrong(file, 'this is not a file', 'a recipe in YAML')
    if (stats.size > maxBytes)
      throw wrong(file, 'this is too large for a recipe', `at most ${maxBytes} bytes`, `${stats.size} bytes`)
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file))
  } catch (error) {
    if (error instanceof LorikeetError) throw error
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    if (code === 'ENOENT') throw wrong(file, 'there is no such recipe')
    if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA')
      throw wrong(file, 'this is not a text in UTF-8', 'a recipe in YAML')
    throw wrong(file, `the recipe cannot be read (${code})`)
  }
}

/** What the library only warns about (tags that it does not know) is no recipe either. */
function parseYaml(text: string, place: (offset?: number) => string, lineCounter?: LineCounter): Document {
  const document = parseDocument(text, {
    prettyErrors: false,
    stringKeys: true,
    logLevel: 'silent',
    ...(lineCounter && { lineCounter }),
  })
  const [error] = [...document.errors, ...document.warnings]
  if (error) throw wrong(place(error.pos[0]), `this is not YAML: ${error.message}`)
  return document
}

/** Anchors that unfold without end are refused by the library. */
function toPlain(where: string, document: Document): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 }) as unknown
  } catch (error) {
    throw wrong(where, `this is not YAML: ${error instanceof Error ? error.message : String(error)}`)
  }
}

interface Override {
  path: (string | number)[]
  value: unknown
}

function readOverride(text: string): Override {
  const equals = text.indexOf('=')
  const keys = text.slice(0, Math.max(0, equals)).split('.')
  if (equals < 1 || keys.some((key) => key.trim() === ''))
    throw wrong(`--set ${text}`, 'this is not a setting', 'KEY=VALUE, such as train.steps=100')
  const path = keys.map((key) => (/^\d+$/.test(key) ? Number(key) : key.trim()))
  const place = `--set ${keys.join('.')}`
  return {
    path,
    value: toPlain(
      place,
      parseYaml(text.slice(equals + 1), () => place),
    ),
  }
}

/** Sets the value, making mappings on the way; a list takes the number of an entry, or one more than it has. */
function override(data: Record<string, unknown>, path: Override['path'], value: unknown): void {
  const refuse = (problem: string) => wrong(`--set ${path.join('.')}`, problem)
  let at: Record<PropertyKey, unknown> = data
  path.forEach((key, i) => {
    if (key === '__proto__') throw refuse('there is no such key')
    if (Array.isArray(at) && (typeof key !== 'number' || key > at.length))
      throw refuse(`${path.slice(0, i).join('.')} is a list of ${at.length}`)
    if (i === path.length - 1) {
      at[key] = value
      return
    }
    const next = Object.hasOwn(at, key) ? at[key] : undefined
    if (typeof next === 'object' && next !== null) at = next as Record<PropertyKey, unknown>
    else {
      const made: Record<PropertyKey, unknown> = {}
      at[key] = made
      at = made
    }
  })
}

function startsWith(path: Path, prefix: Path): boolean {
  return prefix.every((key, i) => path[i] === key)
}

/** Offset in the text of the key at a path, or of the nearest thing around it. */
function offsetOf(document: Document, path: Path): number | undefined {
  const key = path.at(-1)
  if (key === undefined) return undefined
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true)
  if (isMap(parent)) {
    const pair = parent.items.find((item) => (isScalar(item.key) ? item.key.value === key : item.key === key))
    if (pair && isNode(pair.key) && pair.key.range) return pair.key.range[0]
  }
  const node = document.getIn(path, true)
  return isNode(node) && node.range ? node.range[0] : offsetOf(document, path.slice(0, -1))
}

function wrong(where: string, problem: string, expected?: string, received?: string): LorikeetError {
  return new LorikeetError('usage', problem, { where, expected, received })
}
