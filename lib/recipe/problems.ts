/** What is wrong with a recipe, as a person wants to hear it: file and line, key, what was expected, what to do. */
import type { z } from 'zod'
import { LorikeetError, type ErrorDetails } from '../base/errors'
import { keysAt, nodesAt, placesOf } from './keys'
import { nearest } from './nearest'
import type { Path, RecipeSource } from './source'

/** What users of other trainers may write, and how it is called here. */
const namesElsewhere: Readonly<Record<string, string>> = {
  pretrained_model_name_or_path: 'base',
  model: 'base',
  output_name: 'output.name',
  output_dir: 'output.dir',
  train_data_dir: 'dataset.image_dir',
  train_batch_size: 'dataset.batch_size',
  network_dim: 'adapter.rank',
  network_alpha: 'adapter.alpha',
  conv_dim: 'adapter.conv_rank',
  network_weights: 'continue_from',
  learning_rate: 'train.unet_lr',
  lr: 'train.unet_lr',
  max_train_steps: 'train.steps',
  max_train_epochs: 'train.epochs',
  gradient_checkpointing: 'train.checkpointing (none or blocks)',
  gradient_accumulation_steps: 'train.gradient_accumulation',
  lr_scheduler: 'lr_schedule.kind',
  lr_warmup_steps: 'lr_schedule.warmup',
  min_snr_gamma: 'loss.min_snr_gamma',
  loss_type: 'loss.kind',
  optimizer_type: 'optimizer.kind',
}

type Issue = z.core.$ZodIssue

export interface Problem extends ErrorDetails {
  /** E.g. "train.unet_lr". */
  key: string
  problem: string
}

/** One error for all problems; a single one keeps its fields. */
export function recipeError(name: string, source: RecipeSource, issues: readonly Issue[]): LorikeetError {
  const problems = issues.flatMap((issue) => describe(issue, source))
  const [first] = problems
  if (problems.length === 1 && first) {
    const { problem, where, expected, received, fix } = first
    return new LorikeetError('usage', problem, { where, expected, received, fix })
  }
  const lines = problems.map((p) => new LorikeetError('usage', p.problem, p).message)
  const shown = lines.slice(0, 20)
  const rest = lines.length > shown.length ? [`  and ${lines.length - shown.length} more`] : []
  const list = [...shown.map((line) => `  ${line}`), ...rest].join('\n')
  return new LorikeetError('usage', `${problems.length} things are wrong:\n${list}`, { where: name })
}

function describe(issue: Issue, source: RecipeSource): Problem[] {
  const branch = branchOf(issue)
  if (branch) return branch.flatMap((inner) => describe(inner, source))
  const at = (path: Path) => ({ key: render(path), where: whereOf(source, path) })
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({
      ...at([...issue.path, key]),
      problem: 'there is no such key',
      ...suggest(issue.path, key),
    }))
  const value = valueAt(source.data, issue.path)
  if (value === undefined && issue.code !== 'custom')
    return [{ ...at(issue.path), problem: 'is missing', ...meaning(issue.path) }]
  const wanted = expectation(issue.message)
  if (issue.code === 'custom' || issue.code === 'invalid_format' || !wanted)
    return [{ ...at(issue.path), problem: issue.message }]
  return [
    {
      ...at(issue.path),
      problem: 'the value is wrong',
      expected: wanted,
      received: shorten(value),
      ...closest(issue, value),
    },
  ]
}

function whereOf(source: RecipeSource, path: Path): string {
  const place = source.locate(path)
  return place.startsWith('--set') ? place : `${place}, ${render(path)}`
}

/** What zod's message says was expected: "Too small: expected number to be >0" -> "number > 0". */
function expectation(message: string): string | undefined {
  const [text] = /expected.*/i.exec(message) ?? []
  return text
    ?.replace(/^expected (one of )?/i, '')
    .replace(/, received .*$/, '')
    .replace(/ to be ([<>]=?)/, ' $1 ')
    .replace("'undefined' | ", '') // a kind that may be left out
    .replace(/[ ]?\|[ ]?/g, ', ')
    .replace(/["']/g, '')
}

/**
 * Of an alternative, what is wrong with the branch that the person most likely meant: the one of the value's own type.
 */
function branchOf(issue: Issue): Issue[] | undefined {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return undefined
  const isOtherType = (errors: readonly Issue[]) => errors.some((e) => e.path.length === 0 && e.code === 'invalid_type')
  const branch = issue.errors.find((errors) => !isOtherType(errors)) ?? issue.errors[0]!
  return branch.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }))
}

function suggest(path: Path, key: string): { fix: string } {
  const known = keysAt(path)
  const near = nearest(key, known)
  const elsewhere = namesElsewhere[key]
  if (elsewhere) return { fix: `It is ${elsewhere} here` }
  if (known.includes(key)) return { fix: 'It belongs to another kind: remove it' }
  if (near) return { fix: `Did you mean ${near}?` }
  const [place] = placesOf(key)
  if (place) return { fix: `It is ${place}` }
  return { fix: known.length > 0 ? `Known here: ${known.join(', ')}` : 'Remove it' }
}

function meaning(path: Path): { fix?: string } {
  const description = nodesAt(path).find((node) => node.description)?.description
  return description ? { fix: description } : {}
}

function closest(issue: Issue, value: unknown): { fix?: string } {
  const options =
    issue.code === 'invalid_value'
      ? issue.values.map(String)
      : issue.code === 'invalid_union' && 'options' in issue && Array.isArray(issue.options)
        ? issue.options.map(String)
        : []
  const near = typeof value === 'string' ? nearest(value, options) : undefined
  return near ? { fix: `Did you mean ${near}?` } : {}
}

function valueAt(data: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (at, key) =>
      typeof at === 'object' && at !== null && Object.hasOwn(at, key)
        ? (at as Record<PropertyKey, unknown>)[key]
        : undefined,
    data,
  )
}

function shorten(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

function render(path: Path): string {
  return path.map(String).join('.') || 'the recipe'
}
