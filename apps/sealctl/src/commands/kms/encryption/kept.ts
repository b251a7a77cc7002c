import { isDeepStrictEqual } from 'node:util'
import { type Document } from 'yaml'
import { unusable } from './entries.ts'
import { parseEncryptionFile } from './file.ts'
import { type EncryptionRule, rulesOf } from './rules.ts'

/** A file as it is to be written, and what it says. */
export interface ChangedFile {
  readonly text: string
  readonly rules: readonly EncryptionRule[]
}

/** What a file is known to be by now. */
interface ConfigurationValue {
  readonly resources: readonly RuleValue[]
}

/** With its keys: for comparing, never for a message. */
type ProviderValue = Readonly<Record<string, unknown>> & { readonly kms?: { readonly endpoint: string } }

interface RuleValue {
  readonly resources: readonly string[]
  readonly providers: readonly ProviderValue[]
}

interface KeptOptions {
  /** Of the plugin. */
  readonly endpoint: string
  readonly path: string
  /** Whether the step is one by which the plugin begins, or ceases, to encrypt. */
  readonly isChangeOver: boolean
}

/**
 * The file as it is to be written, once it was looked at as kube-apiserver does, and as the promise is: every provider but `identity` and the
 * plugin is as it was before, for each resource that it had; and each resource is written by the provider that it was written by, down to its
 * keys: unless that was the plugin, or is the plugin now, in a step that is about that.
 *
 * @param former - what the file said before it was changed, with everything in it.
 * @throws {@link KmsCommandError} `KMS_COMMAND_ENCRYPTION_CONFIG`.
 */
export function assertKept(
  document: Document,
  former: unknown,
  { endpoint, path, isChangeOver }: KeptOptions,
): ChangedFile {
  const text = document.toString({ lineWidth: 0 })
  const { document: now, rules } = parseEncryptionFile(text, path)
  const before = former as ConfigurationValue
  const after = now.toJS() as ConfigurationValue
  const isOurs = (provider: ProviderValue): boolean => provider.kms?.endpoint === endpoint
  const othersOf = ({ providers }: RuleValue): readonly unknown[] =>
    providers.filter(provider => !isOurs(provider) && !('identity' in provider))
  const isKept = before.resources.every(rule => {
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
  const changed = [...before.resources, ...after.resources]
    .flatMap(({ resources }) => resources)
    .find(resource => {
      const [was, is] = [writerIn(before, resource), writerIn(after, resource)]
      return !(isChangeOver && (isOurs(was) || isOurs(is))) && !isDeepStrictEqual(was, is)
    })
  if (changed === undefined) return { text, rules }
  throw unusable(
    path,
    `the order of its entries does not allow for that: ${changed} would be written by another provider than now`,
  )
}

/** By what kube-apiserver writes a resource: in clear, where nothing is said of it. */
function writerIn({ resources }: ConfigurationValue, resource: string): ProviderValue {
  const writer = rulesOf(resources, resource)[0]?.providers[0]
  return writer === undefined || 'identity' in writer ? { identity: {} } : writer
}
