import { isDeepStrictEqual } from 'node:util'
import { type Document } from 'yaml'
import { parseEncryptionFile } from './file.ts'
import { type EncryptionRule } from './rules.ts'

/** A file as it is to be written, and what it says. */
export interface ChangedFile {
  readonly text: string
  readonly rules: readonly EncryptionRule[]
}

/** What a file is known to be by now. */
interface ConfigurationValue {
  readonly resources: readonly RuleValue[]
}

interface RuleValue {
  readonly resources: readonly string[]
  readonly providers: readonly (Readonly<Record<string, unknown>> & { readonly kms?: { readonly endpoint: string } })[]
}

/**
 * The file as it is to be written, once it was looked at as kube-apiserver does, and as the promise is: every provider but `identity` and the
 * plugin is as it was before, for each resource that it had.
 *
 * @throws {@link KmsCommandError} `KMS_COMMAND_ENCRYPTION_CONFIG`.
 */
export function assertKept(
  document: Document,
  before: unknown,
  { endpoint, path }: { readonly endpoint: string; readonly path: string },
): ChangedFile {
  const text = document.toString({ lineWidth: 0 })
  const { document: now, rules } = parseEncryptionFile(text, path)
  const after = now.toJS() as ConfigurationValue
  const othersOf = ({ providers }: RuleValue): readonly unknown[] =>
    providers.filter(provider => provider.kms?.endpoint !== endpoint && !('identity' in provider))
  const isKept = (before as ConfigurationValue).resources.every(rule => {
    const others = othersOf(rule)
    return (
      others.length === 0 ||
      after.resources.some(
        each =>
          rule.resources.every((resource, at) => each.resources[at] === resource) &&
          isDeepStrictEqual(others, othersOf(each)),
      )
    )
  })
  if (!isKept) throw new Error('another provider was changed: nothing is written')
  return { text, rules }
}
