import { type Document, visit } from 'yaml'
import {
  entriesOf,
  moveEntry,
  providersAt,
  putEntries,
  resourcesNow,
  shareResource,
  takeProviders,
  unusable,
} from './entries.ts'
import { ROUNDS_REMARK } from '../files/encryption-config.ts'
import { type EncryptionFile } from './file.ts'
import { type EncryptionRule, type IsOurs, isWrittenBy, pluginAt } from './rules.ts'
import { assertKept, type ChangedFile } from './kept.ts'

/** How far the way out has been gone: another provider is there, too; that one encrypts, or stores in clear; the plugin is gone. */
export const LEAVING_STEPS = ['prepare', 'decrypt', 'remove'] as const
export type LeavingStep = (typeof LEAVING_STEPS)[number]

export interface Leaving {
  readonly step: LeavingStep
  /** Of the plugin. */
  readonly endpoint: string
}

/**
 * Takes the plugin out of an `EncryptionConfiguration`, in three steps, and nothing else: the way in, backwards. An API server must be able to
 * read what another one has begun to write already, and all of what is still encrypted.
 *
 * @param path - of the file, for messages.
 * @returns what it says then.
 * @throws {@link KmsCommandError} `KMS_COMMAND_ENCRYPTION_CONFIG`.
 */
export function leaveEncryptionFile({ document, rules }: EncryptionFile, leaving: Leaving, path: string): ChangedFile {
  const { step, endpoint } = leaving
  const isOurs = pluginAt(endpoint)
  const former: unknown = document.toJS()
  const entries = entriesOf(document, rules)
  const ours = entries.filter(({ rule }) => rule.providers.some(isOurs))
  if (ours.length === 0)
    throw unusable(path, `the plugin at ${endpoint} is in none of its entries: another one is named by --config`)
  const alone = ours.filter(({ rule }) => rule.providers.every(isOurs))
  const written = ours.flatMap(resourcesNow).filter(resource => isWrittenBy(rules, resource, isOurs))
  switch (step) {
    case 'prepare':
      if (alone.length === 0)
        throw unusable(path, 'there is another provider beside the plugin already: go on with --leave decrypt')
      for (const entry of alone) providersAt(entry).items.push(document.createNode({ identity: {} }))
      break
    case 'decrypt':
      if (written.length === 0)
        throw unusable(path, 'the plugin encrypts nothing already: go on with --leave remove, once nothing is left')
      if (alone.length > 0)
        throw unusable(path, 'there is no other provider yet: first --leave prepare, for every API server')
      for (const entry of ours) {
        const taken = takeProviders(entry, endpoint)
        providersAt(entry).items.push(...taken)
        const others = entries.filter(other => !ours.includes(other) && shareResource(other, entry))
        moveEntry(entries, entry, 'behind', others)
      }
      break
    case 'remove':
      if (written.length > 0) {
        throw unusable(
          path,
          `the plugin still encrypts ${written.join(', ')}: first --leave decrypt, for every API server, and write all of it anew`,
        )
      }
      for (const entry of ours) {
        takeProviders(entry, endpoint)
        // What it had is in other entries: else the plugin would encrypt it.
        if (providersAt(entry).items.length === 0) entries.splice(entries.indexOf(entry), 1)
      }
      removeRemark(document)
      break
  }
  putEntries(document, entries)
  const changed = assertKept(document, former, { endpoint, path, isChangeOver: step === 'decrypt' })
  assertLeft(step, changed.rules, isOurs)
  return changed
}

/** That the plugin encrypts nothing any more, and in the end stands nowhere. */
function assertLeft(step: LeavingStep, rules: readonly EncryptionRule[], isOurs: IsOurs): void {
  if (step === 'prepare') return
  const kept = rules
    .filter(({ providers }) => providers.some(isOurs))
    .flatMap(({ resources }) => resources)
    .find(resource => step === 'remove' || isWrittenBy(rules, resource, isOurs))
  if (kept !== undefined) throw new Error(`the plugin would stay with ${kept}: nothing is written`)
}

/** It speaks of a plugin that is gone, wherever in the head the library keeps it. */
function removeRemark(document: Document): void {
  const removeAt = (node: { commentBefore?: string | null }): void => {
    const lines = node.commentBefore?.split('\n')
    if (lines !== undefined) node.commentBefore = lines.filter(line => `#${line}` !== ROUNDS_REMARK).join('\n')
  }
  removeAt(document)
  visit(document, {
    Node: (_key, node) => {
      removeAt(node)
    },
  })
}
