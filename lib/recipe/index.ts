/** Reading recipes: from YAML and overrides to checked, complete, plain data. */
import { resolutionOf } from '../dataset'
import { recipeError } from './problems'
import { defaultSteps, recipeSchema, type Recipe, type RecipeInput } from './schema'
import { openRecipe, parseRecipe, type RecipeSource } from './source'

export type { Recipe, RecipeInput, SamplePrompt } from './schema'

/**
 * @param overrides as given to `--set`: "train.steps=100"
 * @throws LorikeetError (usage) naming file, line and key of everything that is wrong
 */
export function readRecipe(file: string, overrides: readonly string[] = []): Recipe {
  return check(file, openRecipe(file, overrides))
}

/** `readRecipe` for a text in memory; `name` stands for it in messages. */
export function readRecipeText(name: string, text: string, overrides: readonly string[] = []): Recipe {
  return check(name, parseRecipe(name, text, overrides))
}

/** Completes a recipe that a program has made. Errors as `readRecipe`. */
export function resolveRecipe(input: RecipeInput): Recipe {
  return check('recipe', { data: input, locate: () => 'recipe' })
}

function check(name: string, source: RecipeSource): Recipe {
  fillKind(source.data)
  const result = recipeSchema.safeParse(source.data)
  if (!result.success) throw recipeError(name, source, result.error.issues)
  return complete(result.data)
}

/** `adapter: { rank: 8 }` means a LoRA. */
function fillKind(data: unknown): void {
  const adapter = typeof data === 'object' && data !== null && 'adapter' in data ? data.adapter : undefined
  if (typeof adapter !== 'object' || adapter === null || Array.isArray(adapter) || 'kind' in adapter) return
  Object.assign(adapter, { kind: 'lora' })
}

/** Defaults that depend on other settings. */
function complete(recipe: Recipe): Recipe {
  const { train, samples, dataset } = recipe
  const { width, height } = resolutionOf(dataset)
  const isOpenEnded = train.steps === undefined && train.epochs === undefined
  return {
    ...recipe,
    train: isOpenEnded ? { ...train, steps: defaultSteps } : train,
    ...(samples && { samples: { ...samples, width: samples.width ?? width, height: samples.height ?? height } }),
  }
}
