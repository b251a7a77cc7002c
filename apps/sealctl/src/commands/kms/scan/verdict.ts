import { type KeyFacts } from '../key-facts.ts'
import { type Finding } from './finding.ts'
import { type Group, type Tally } from './tally.ts'

/** Whether a version, and all that are older, is needed no longer. */
export interface Verdict {
  /** The version in question; 0: there is none before the one that encrypts. */
  readonly version: number
  /** Why it must stay; empty: it may be retired. */
  readonly reasons: readonly string[]
  /** What else an operator should know. */
  readonly warnings: readonly string[]
}

export interface VerdictOptions {
  /** Left out: every version before the one that encrypts. */
  readonly version?: number | undefined
  /** When the scan began, in milliseconds since 1970. */
  readonly scannedAtMs: number
  /** How long after a version has become active some API server may still write by the one before. */
  readonly settleMs: number
  /** Name of the provider in the `EncryptionConfiguration`, if it was given. */
  readonly provider?: string | undefined
  /** By which version the plugin of this node encrypts, where it has said so. */
  readonly encryptingHere?: number | undefined
  /** What was looked at; empty: everything. */
  readonly prefix: string
}

/** Judges what a scan has found. Pure. */
export function judge({ groups, ungrouped }: Tally, key: KeyFacts, options: VerdictOptions): Verdict {
  const { version = key.active.version - 1, provider } = options
  const ours = groups.flatMap(group => (group.finding.kind === 'ours' ? [{ ...group, finding: group.finding }] : []))
  const of = (test: (finding: Finding) => boolean): readonly Group[] => groups.filter(({ finding }) => test(finding))
  const needed = ours.filter(({ finding }) => finding.version <= version)
  const lost = of(({ kind }) => kind === 'lost')
  const damaged = of(({ kind }) => kind === 'damaged')
  const othersInName = of(finding => finding.kind === 'other-kms' && finding.provider === provider)
  const reasons = [
    ...versionReasons(key, version, options),
    ...(needed.length === 0
      ? []
      : [`${count(needed)} encrypted by version ${version} or an older one: ${resources(needed)}`]),
    ...(lost.length === 0
      ? []
      : [
          `${count(lost)} encrypted by Sealwright, and not by a version of this key: ${resources(lost)}; check clusterId and the key in the configuration before anything else`,
        ]),
    ...(damaged.length === 0
      ? []
      : [`${count(damaged)} damaged, so that nobody knows by which key: ${resources(damaged)}`]),
    ...(othersInName.length === 0
      ? []
      : [
          `${count(othersInName)} under the provider ${provider ?? ''} by a key that is none of Sealwright’s: ${resources(othersInName)}`,
        ]),
    ...(ungrouped === 0 ? [] : [`${ungrouped} objects are of more kinds than can be told apart`]),
    ...(ours.length === 0 && lost.length === 0
      ? ['nothing at all is encrypted by this key: is it the right etcd, and the right prefix?']
      : []),
  ]
  return { version, reasons, warnings: [...warningsOf(groups, ours, options), ...unreadable(ours, key)] }
}

function versionReasons(
  { active, pending, versions }: KeyFacts,
  version: number,
  { scannedAtMs, settleMs, encryptingHere }: VerdictOptions,
): readonly string[] {
  const encrypting = Math.min(active.version, encryptingHere ?? active.version)
  if (version >= encrypting) {
    const waits =
      pending === undefined
        ? 'rotate the key first'
        : `version ${pending.version} waits until ${iso(pending.encryptsFromMs)}`
    return [`version ${encrypting} is the one that new data is encrypted by: ${waits}`]
  }
  // Nothing was ever encrypted by another one.
  if (versions[0].version === active.version || version === 0) return []
  const settledAtMs = active.encryptsFromMs + settleMs
  if (scannedAtMs >= settledAtMs) return []
  return [
    `an API server may write by an older version until ${iso(settledAtMs)}: write the data anew and look again after that`,
  ]
}

function warningsOf(
  groups: readonly Group[],
  ours: readonly Group[],
  { prefix, provider }: VerdictOptions,
): readonly string[] {
  // Secrets belong encrypted, and so does every resource of which some objects are.
  const encrypted = new Set(['secrets', ...ours.map(({ resource }) => resource)])
  const plaintext = groups.filter(({ finding: { kind }, resource }) => kind === 'plaintext' && encrypted.has(resource))
  const others = groups.filter(({ finding: { kind } }) =>
    (['other-kms', 'kms-v1', 'local', 'unknown-encryption'] as readonly string[]).includes(kind),
  )
  const renamed = ours.filter(
    ({ finding }) => provider !== undefined && 'provider' in finding && finding.provider !== provider,
  )
  return [
    ...(plaintext.length === 0 ? [] : [`${count(plaintext)} stored in clear: ${resources(plaintext)}`]),
    ...(others.length === 0 ? [] : [`${count(others)} encrypted in another way: ${resources(others)}`]),
    ...(renamed.length === 0
      ? []
      : [`${count(renamed)} by this key under another provider’s name than ${provider ?? ''}: ${resources(renamed)}`]),
    ...(prefix === '' ? [] : [`only keys that begin with ${prefix} were looked at`]),
  ]
}

/** What cannot be read any more as things are. */
function unreadable(ours: readonly Group[], { oldestDecryptable }: KeyFacts): readonly string[] {
  const gone = ours.filter(({ finding }) => finding.kind === 'ours' && finding.version < oldestDecryptable)
  if (gone.length === 0) return []
  return [
    `${count(gone)} encrypted by a version that the backend does not decrypt by any more, which NOBODY CAN READ until min_decryption_version is lowered: ${resources(gone)}`,
  ]
}

function count(groups: readonly Group[]): string {
  const objects = groups.reduce((sum, group) => sum + group.objects, 0)
  return objects === 1 ? '1 object is' : `${objects} objects are`
}

const MAX_NAMED = 8

function resources(groups: readonly Group[]): string {
  const names = [...new Set(groups.map(({ resource }) => resource))]
  return names.length <= MAX_NAMED
    ? names.join(', ')
    : `${names.slice(0, MAX_NAMED).join(', ')} and ${names.length - MAX_NAMED} more`
}

function iso(timeMs: number): string {
  return new Date(timeMs).toISOString()
}
