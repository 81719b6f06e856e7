/** Whether a checkpoint still belongs to a recipe: what changed since, as people read it. */
import type { Recipe } from '../recipe'
import type { CheckpointFacts } from './checkpoint'

export type RunFacts = Pick<CheckpointFacts, 'steps' | 'dataset' | 'base' | 'computeDtype' | 'software'> & {
  recipe: Recipe
}

export interface Changes {
  /** With these the run would not be the same run. */
  refused: string[]
  /** With these it may differ in the last bits. */
  noted: string[]
}

export function findChanges(before: CheckpointFacts, now: RunFacts): Changes {
  const [old, recipe] = [before.recipe as unknown as Recipe, now.recipe]
  const schedule = (of: Recipe) => ({ ...of.train, steps: undefined, epochs: undefined })
  const refused = [
    ...differences('base_precision', old.base_precision ?? 'full', recipe.base_precision),
    ...differences('adapter', old.adapter, recipe.adapter),
    ...differences('train', schedule(old), schedule(recipe)),
    ...differences('optimizer', old.optimizer, recipe.optimizer),
    ...differences('lr_schedule', old.lr_schedule, recipe.lr_schedule),
    ...differences('loss', old.loss, recipe.loss),
    ...differences('continue_from', old.continue_from, recipe.continue_from),
    ...(before.steps !== now.steps && dependsOnLength(recipe)
      ? [`train.steps: ${before.steps} before, ${now.steps} now, and the learning rate depends on it`]
      : []),
    ...baseChanges(before.base, now.base),
    ...datasetChanges(before, now, old),
  ]
  const noted = [
    ...differences('what is computed in', before.computeDtype, now.computeDtype),
    ...differences('the version of Lorikeet', before.software, now.software),
  ]
  return { refused, noted }
}

/** Whether a longer run has other learning rates from the start. */
function dependsOnLength({ lr_schedule: { kind, warmup } }: Recipe): boolean {
  return kind !== 'constant' || (warmup > 0 && warmup < 1)
}

function baseChanges(before: Record<string, string>, now: Record<string, string>): string[] {
  return Object.keys(now)
    .filter((network) => before[network] !== now[network])
    .map((network) => `base: the ${network.replace('_', ' ')} has other weights`)
}

function datasetChanges(before: CheckpointFacts, now: RunFacts, old: Recipe): string[] {
  if (before.dataset === now.dataset) return []
  const place = ({ dataset: { cache_dir: _, ...rest } }: Recipe) => rest
  const settings = differences('dataset', place(old), place(now.recipe))
  return settings.length > 0 ? settings : ['dataset: pictures or captions were added, removed or changed']
}

/** "adapter.rank: 8 before, 16 now" for every value that differs. */
function differences(key: string, before: unknown, now: unknown): string[] {
  if (isMapping(before) && isMapping(now)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])]
    return keys.flatMap((name) => differences(`${key}.${name}`, before[name], now[name]))
  }
  const [a, b] = [render(before), render(now)]
  return a === b ? [] : [`${key}: ${a} before, ${b} now`]
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function render(value: unknown): string {
  const text = value === undefined ? 'not set' : JSON.stringify(value)
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}
