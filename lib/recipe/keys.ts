/** The tree of keys that a recipe may have, read off the schema: for messages, overrides and the reference. */
import { z } from 'zod'
import { recipeSchema } from './schema'

/** What the tree needs of a JSON Schema. */
export interface SchemaNode {
  description?: string
  default?: unknown
  type?: string
  const?: unknown
  enum?: unknown[]
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  exclusiveMaximum?: number
  multipleOf?: number
  properties?: Record<string, SchemaNode>
  required?: string[]
  items?: SchemaNode | false
  prefixItems?: SchemaNode[]
  oneOf?: SchemaNode[]
  anyOf?: SchemaNode[]
}

let tree: SchemaNode | undefined

export function recipeTree(): SchemaNode {
  tree ??= z.toJSONSchema(recipeSchema, { io: 'input' }) as SchemaNode
  return tree
}

/** The branches of a union, or the node itself. */
export function branches(node: SchemaNode): SchemaNode[] {
  return node.oneOf ?? node.anyOf ?? [node]
}

type Path = readonly PropertyKey[]

/** The nodes that may stand at a path: several where the schema has alternatives. */
export function nodesAt(path: Path): SchemaNode[] {
  return path.reduce<SchemaNode[]>(
    (nodes, key) =>
      nodes
        .flatMap(branches)
        .flatMap((node) => childrenOf(node, key))
        .flatMap(branches),
    [recipeTree()],
  )
}

function childrenOf(node: SchemaNode, key: PropertyKey): SchemaNode[] {
  if (typeof key === 'number') return node.prefixItems?.[key] ? [node.prefixItems[key]] : node.items ? [node.items] : []
  const { properties } = node
  return properties && typeof key === 'string' && Object.hasOwn(properties, key) ? [properties[key]!] : []
}

/** The keys that a mapping at this path may have. */
export function keysAt(path: Path): string[] {
  return [...new Set(nodesAt(path).flatMap((node) => Object.keys(node.properties ?? {})))]
}

/** Every place where a key of that name may stand, as "train.seed"; lists are left out. */
export function placesOf(key: string, node = recipeTree(), prefix = ''): string[] {
  const found = branches(node).flatMap(({ properties = {} }) =>
    Object.entries(properties).flatMap(([name, child]) => {
      const place = prefix + name
      return [...(name === key ? [place] : []), ...placesOf(key, child, `${place}.`)]
    }),
  )
  return [...new Set(found)]
}
