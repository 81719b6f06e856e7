/**
 * Makes docs/reference/recipe.md from the recipe's schema. A test compares the two.
 *
 *     npx ts-node --transpile-only scripts/docs/recipe-reference.ts
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { branches, recipeTree, type SchemaNode } from '../../lib/recipe/keys'

const intro = `# The recipe

<!-- Made by scripts/docs/recipe-reference.ts from the schema. Do not edit. -->

A recipe is a YAML file (JSON works too). Three things are enough:

\`\`\`yaml
base: models/sd15.safetensors
output: { name: ohwx }
dataset: { image_dir: photos }
\`\`\`

Everything else has the default in the tables below. \`--set train.steps=500\` on the command line overrides a value; entries of
lists are numbered, \`--set dataset.subsets.0.num_repeats=5\`. A key that is not in these tables is an error, so that no setting
is ignored without a word. Paths are relative to the working directory.
`

export function renderReference(): string {
  const { properties = {}, required = [] } = recipeTree()
  const top = {
    ...recipeTree(),
    properties: Object.fromEntries(Object.entries(properties).filter(([, node]) => !isSection(node))),
  }
  const sections = Object.entries(properties).filter(([, node]) => isSection(node))
  return [
    intro,
    '## Top level\n',
    table(top, ''),
    ...sections.flatMap(([name, node]) => section(name, node, required.includes(name))),
  ].join('\n')
}

function isSection(node: SchemaNode): boolean {
  return branches(node).some((branch) => branch.properties)
}

function section(name: string, node: SchemaNode, required: boolean): string[] {
  const description = node.description ? `${node.description}.${required ? ' Required.' : ''}\n` : ''
  const parts = branches(node)
  return [
    `## ${name}\n`,
    description,
    ...parts.flatMap((part) => {
      const kind = part.properties?.kind
      const title =
        parts.length > 1 && kind?.const !== undefined
          ? [`\`kind: ${String(kind.const)}\`: ${kind.description ?? ''}.\n`]
          : []
      return [...title, table(part, `${name}.`)]
    }),
  ]
}

/** A table of a mapping's keys; mappings and lists of mappings inside follow with their full names. */
function table(node: SchemaNode, prefix: string): string {
  const rows = rowsOf(node, prefix)
  return ['| key | value | default | meaning |', '|---|---|---|---|', ...rows, ''].join('\n')
}

function rowsOf({ properties = {}, required = [] }: SchemaNode, prefix: string): string[] {
  return Object.entries(properties).flatMap(([key, node]) => {
    const inner = innerMapping(node)
    const shown = node.default === undefined || isSection(node) ? '' : `\`${JSON.stringify(node.default)}\``
    const fallback = required.includes(key) && node.default === undefined ? 'required' : shown
    const cells = [`\`${prefix}${key}\``, valueOf(node), fallback, node.description ?? '']
    const row = `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
    return [row, ...(inner ? rowsOf(inner.node, `${prefix}${key}.${inner.step}`) : [])]
  })
}

function innerMapping(node: SchemaNode): { node: SchemaNode; step: string } | undefined {
  if (node.properties) return { node, step: '' }
  if (!node.items) return undefined
  const mapping = branches(node.items).find((branch) => branch.properties)
  return mapping && { node: mapping, step: 'N.' }
}

function valueOf(node: SchemaNode): string {
  if (node.const !== undefined) return `\`${JSON.stringify(node.const)}\``
  if (node.enum) return node.enum.map((value) => `\`${String(value)}\``).join(', ')
  const alternatives = node.oneOf ?? node.anyOf
  if (alternatives) return alternatives.map(valueOf).join(' or ')
  if (node.prefixItems) return `[${node.prefixItems.map(valueOf).join(', ')}]`
  if (node.items) return `list of ${valueOf(node.items)}`
  if (node.type === 'object') return 'mapping'
  if (node.type === 'boolean') return '`true`, `false`'
  if (node.type === 'string') return 'text'
  return [node.type === 'integer' ? 'whole number' : 'number', rangeOf(node)].filter(Boolean).join(' ')
}

function rangeOf({ minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf }: SchemaNode): string {
  const high = maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER ? maximum : undefined
  return [
    minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER ? `>= ${minimum}` : '',
    exclusiveMinimum !== undefined ? `> ${exclusiveMinimum}` : '',
    high !== undefined ? `<= ${high}` : '',
    exclusiveMaximum !== undefined ? `< ${exclusiveMaximum}` : '',
    multipleOf !== undefined && multipleOf !== 1 ? `, multiple of ${multipleOf}` : '',
  ]
    .filter(Boolean)
    .join(' ')
    .replaceAll(' ,', ',')
}

if (require.main === module) writeFileSync(join(__dirname, '../../docs/reference/recipe.md'), renderReference())
