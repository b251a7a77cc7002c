import * as v from 'valibot'
import { parseDocument } from 'yaml'
import { NodeConfigError } from './errors.ts'
import { nodeConfigSchema, type NodeConfig } from './schema.ts'

/**
 * Parses a node's configuration file (YAML 1.2, of which JSON is a part).
 *
 * @param text - the whole file.
 * @param source - the file's name, for messages.
 * @throws {@link NodeConfigError} `CONFIG_SYNTAX` or `CONFIG_INVALID`.
 */
export function parseNodeConfig(text: string, source: string): NodeConfig {
  return parseConfig(nodeConfigSchema, text, source)
}

/**
 * Parses a configuration file of any of our programs.
 *
 * @param schema - must refuse unknown fields at every level.
 * @throws as {@link parseNodeConfig}.
 */
export function parseConfig<S extends v.GenericSchema>(schema: S, text: string, source: string): v.InferOutput<S> {
  // Anchors are refused: a configuration needs none, and nested aliases can blow a small file up.
  const document = parseDocument(text, { uniqueKeys: true, strict: true })
  const [problem] = [...document.errors, ...document.warnings]
  if (problem !== undefined) throw new NodeConfigError('CONFIG_SYNTAX', `${source}: ${problem.message.trim()}`)
  const result = v.safeParse(schema, toPlainValue(document, source))
  if (result.success) return result.output
  throw new NodeConfigError('CONFIG_INVALID', result.issues.map(issue => `${source}: ${describe(issue)}`).join('\n'))
}

function toPlainValue(document: ReturnType<typeof parseDocument>, source: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 0 })
  } catch (cause) {
    const message = isAliasRefusal(cause) ? 'anchors and aliases are not supported' : 'holds what is no plain value'
    throw new NodeConfigError('CONFIG_SYNTAX', `${source}: ${message}`, { cause })
  }
}

/** How `yaml` refuses an alias beyond `maxAliasCount`; by name, since the error may come from another realm. */
function isAliasRefusal(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'name' in error && error.name === 'ReferenceError'
}

function describe(issue: v.BaseIssue<unknown>): string {
  const path = v.getDotPath(issue) ?? '(the whole file)'
  if (issue.type === 'strict_object' && issue.expected === 'never') return `${path} is unknown here`
  // The default text of a missing field says no more than that.
  if (issue.received === 'undefined')
    return `${path} is missing${issue.message.startsWith('Invalid') ? '' : `; it ${issue.message}`}`
  return `${path} ${issue.message}`
}
