import { type KmsProvider } from '@sealwright/kms-v2'
import { type EncryptionRule, pluginAt, rulesFor, writtenByOthers } from '../encryption/rules.ts'
import { type EncryptsHere } from '../encrypting-here.ts'
import { isRetired, type KeyFacts } from '../key-facts.ts'
import { type Finding } from './finding.ts'
import {
  everyApiServerBy,
  OTHER_ETCDS,
  prefixReasons,
  reason,
  resources,
  ungroupedReasons,
  unknownKeyReasons,
  wrongFileReasons,
} from './reasons.ts'
import { type Group, type Tally } from './tally.ts'
import { iso } from '../words.ts'

/** Whether a version, and all that are older, is needed no longer; and whether everything is encrypted that is to be. */
export interface Verdict {
  /** The version in question; 0: none is. */
  readonly version: number
  /** Why not; empty: it may be retired, and `identity` may go from the file that was named. */
  readonly reasons: readonly string[]
  /** What else an operator should know. */
  readonly warnings: readonly string[]
  /** What was not looked at. */
  readonly cautions: readonly string[]
}

export interface VerdictOptions {
  /** Left out: every version before the one that encrypts. */
  readonly version?: number | undefined
  /** When the scan began, in milliseconds since 1970; of several, the first one. */
  readonly scannedAtMs: number
  /** How long after a version has become active some API server may still write by the one before. */
  readonly settleMs: number
  /** Name of the provider in the `EncryptionConfiguration`, if it was given. */
  readonly provider?: string | undefined
  /** By which version the plugin of this node encrypts. Default: there is no plugin here to ask. */
  readonly encryptingHere?: EncryptsHere
  /** What was looked at; empty: everything. */
  readonly prefix: string
  /** Of the `EncryptionConfiguration` that was named: what it has this plugin encrypt has to be. */
  readonly encryption?: EncryptionToCheck | undefined
  /** Key ids that other etcds of this cluster hold, by their records. */
  readonly elsewhere: readonly string[]
}

/** An `EncryptionConfiguration`, and which of its providers is this plugin. */
export interface EncryptionToCheck {
  readonly path: string
  readonly rules: readonly EncryptionRule[]
  /** Of the plugin. */
  readonly endpoint: string
}

/** What else than a mistake may be behind what is not of this key. */
const LOST_REMEDY: Readonly<Record<KmsProvider, string>> = {
  transit: '',
  keyring:
    'was another node rotated, and this one not brought it? sealctl kms keyring export there, import here. Else ',
}

const NO_PLUGIN_SEEN: EncryptsHere = { kind: 'no-plugin-seen' }

type OurGroup = Group & { readonly finding: Extract<Finding, { kind: 'ours' }> }

const BY_OTHERS: ReadonlySet<Finding['kind']> = new Set(['other-kms', 'kms-v1', 'local'])

/** How a version decrypts again. */
const TAKING_BACK: Readonly<Record<KmsProvider, string>> = {
  transit: 'lower min_decryption_version',
  keyring: 'sealctl kms keyring restore',
}

/** Judges what a scan has found. Pure. */
export function judge({ groups, objects, ungrouped }: Tally, key: KeyFacts, options: VerdictOptions): Verdict {
  const { version = key.active.version - 1, provider, prefix, encryption, elsewhere } = options
  const ours = groups.flatMap(group => (group.finding.kind === 'ours' ? [{ ...group, finding: group.finding }] : []))
  const of = (test: (finding: Finding) => boolean): readonly Group[] => groups.filter(({ finding }) => test(finding))
  const isFound = ours.length > 0 || of(({ kind }) => kind === 'lost').length > 0
  const names = new Set([...(provider === undefined ? [] : [provider]), ...ours.map(({ finding }) => finding.provider)])
  const reasons = [
    ...versionReasons(key, version, options),
    ...reason(
      ours.filter(({ finding }) => finding.version <= version),
      `encrypted by version ${version} or an older one`,
    ),
    ...elsewhereReasons(key, version, elsewhere),
    ...reason(
      ours.filter(({ finding }) => isRetired(key, finding.version)),
      `encrypted by a version that the backend does not decrypt by any more, which NOBODY CAN READ until it does again (${TAKING_BACK[key.provider]})`,
    ),
    ...reason(
      of(({ kind }) => kind === 'lost'),
      'encrypted by Sealwright, and not by a version of this key',
      `; ${LOST_REMEDY[key.provider]}check clusterId and the key in the configuration before anything else`,
    ),
    ...unknownKeyReasons(groups),
    ...reason(
      of(finding => finding.kind === 'other-kms' && names.has(finding.provider)),
      `under the name of this plugin (${[...names].join(', ')}) by a key that is none of Sealwright’s`,
    ),
    ...ungroupedReasons(ungrouped),
    // What another etcd holds says nothing of what is in clear in this one.
    ...(isFound || (elsewhere.length > 0 && encryption === undefined && objects > 0)
      ? []
      : ['nothing at all is encrypted by this key: is it the right etcd, and the right prefix?']),
    ...prefixReasons(prefix),
    ...(encryption === undefined ? [] : encryptionReasons(groups, encryption)),
  ]
  return {
    ...{ version, reasons, cautions: cautionsOf(key, version, options) },
    warnings: warningsOf(groups, ours, names, options),
  }
}

function versionReasons(
  { active, pending }: KeyFacts,
  version: number,
  { scannedAtMs, settleMs, encryptingHere = NO_PLUGIN_SEEN }: VerdictOptions,
): readonly string[] {
  if (encryptingHere.kind === 'unclear') return [`${encryptingHere.why}: see sealctl kms verify-key`]
  if (version === 0) return []
  const here = encryptingHere.kind === 'by-version' ? encryptingHere.version : active.version
  if (here < active.version && version >= here) {
    return [
      `the plugin of this node still encrypts by version ${here}, and not by ${active.version}: see sealctl kms verify-key`,
    ]
  }
  if (version >= active.version) {
    const waits =
      pending === undefined
        ? 'rotate the key first'
        : `version ${pending.version} waits until ${iso(pending.encryptsFromMs)}`
    return [`version ${active.version} is the one that new data is encrypted by: ${waits}`]
  }
  const settledAtMs = active.encryptsFromMs + settleMs
  if (scannedAtMs >= settledAtMs) return []
  return [
    `an API server may write by an older version until ${iso(settledAtMs)}, or longer: write the data anew and look again after that`,
  ]
}

function elsewhereReasons({ versions }: KeyFacts, version: number, keyIds: readonly string[]): readonly string[] {
  const staying = new Set(versions.flatMap(each => (each.version > version ? [each.keyId] : [])))
  const others = keyIds.filter(keyId => !staying.has(keyId))
  if (others.length === 0) return []
  return [`the other etcds hold data by ${others.length} other key id(s) than those of versions that stay`]
}

/** What an `EncryptionConfiguration` has the plugin encrypt, and is not encrypted by it. */
function encryptionReasons(groups: readonly Group[], encryption: EncryptionToCheck): readonly string[] {
  const wrongFile = wrongFileReasons(encryption)
  if (wrongFile.length > 0) return wrongFile
  const { path, rules, endpoint } = encryption
  const isOurs = pluginAt(endpoint)
  const isCovered = ({ seen }: Group): boolean => rulesFor(rules, seen).some(({ providers }) => providers.some(isOurs))
  const covered = groups.filter(isCovered)
  const begun = new Set(covered.flatMap(({ finding, resource }) => (finding.kind === 'ours' ? [resource] : [])))
  const inClear = covered.filter(({ finding }) => finding.kind === 'plaintext')
  const untouched = inClear.filter(({ resource }) => !begun.has(resource))
  const unlisted = groups.filter(group => group.finding.kind === 'ours' && !isCovered(group))
  const namesFor = ({ seen }: Group): readonly string[] =>
    rulesFor(rules, seen).flatMap(({ providers }) => providers.filter(isOurs).map(({ name }) => name))
  const misnamed = covered.filter(
    group => group.finding.kind === 'ours' && !namesFor(group).includes(group.finding.provider),
  )
  const late = writtenByOthers(rules, isOurs)
  return [
    ...reason(
      inClear,
      `stored in clear, which ${path} has this plugin encrypt`,
      untouched.length === 0 ? '' : `; not one is encrypted yet of: ${resources(untouched)}`,
    ),
    ...reason(
      covered.filter(({ finding }) => BY_OTHERS.has(finding.kind)),
      `encrypted in another way, which ${path} has this plugin encrypt`,
    ),
    ...reason(
      misnamed,
      `encrypted by this key under another provider’s name than ${[...new Set(misnamed.flatMap(namesFor))].join(', ')}, by which ${path} has it`,
      ': no other provider than that one reads it',
    ),
    ...(late.length === 0
      ? []
      : [`${path}: the plugin is not the first provider for ${late.join(', ')}: it encrypts nothing new of that`]),
    ...reason(
      unlisted,
      `encrypted by this key, though ${path} does not have the plugin for it`,
      ': is it the right file?',
    ),
  ]
}

function warningsOf(
  groups: readonly Group[],
  ours: readonly OurGroup[],
  names: ReadonlySet<string>,
  { provider, encryption }: VerdictOptions,
): readonly string[] {
  // Secrets belong encrypted, and so does every resource of which some objects are. Better than that is to be told.
  const encrypted = new Set(encryption === undefined ? ['secrets', ...ours.map(({ resource }) => resource)] : [])
  return [
    ...reason(
      groups.filter(({ finding: { kind }, resource }) => kind === 'plaintext' && encrypted.has(resource)),
      'stored in clear',
    ),
    ...reason(
      groups.filter(
        ({ finding }) => BY_OTHERS.has(finding.kind) && !(finding.kind === 'other-kms' && names.has(finding.provider)),
      ),
      'encrypted in another way',
    ),
    ...reason(
      ours.filter(({ finding }) => provider !== undefined && finding.provider !== provider),
      `by this key under another provider’s name than ${provider ?? ''}`,
    ),
  ]
}

/** What no look at one etcd, from one node, can show. */
function cautionsOf(
  { active }: KeyFacts,
  version: number,
  { encryption, elsewhere, encryptingHere = NO_PLUGIN_SEEN }: VerdictOptions,
): readonly string[] {
  return [
    `${OTHER_ETCDS}, and bring the records together (--output, --with)`,
    ...(version === 0
      ? []
      : [
          `${encryptingHere.kind === 'no-plugin-seen' ? 'no plugin answers here, and those of other nodes were' : 'the plugins of other nodes were'} not asked. On EVERY control-plane node sealctl kms verify-key has to name version ${active.version} as the plugin’s, and has to have done so for 3 minutes before this look began: a plugin that does not reach its backend goes on with the version before for as long as that lasts`,
        ]),
    ...(encryption === undefined
      ? ['what may still be in clear was not asked: before identity goes, name the file with --encryption-config']
      : [everyApiServerBy(encryption)]),
    ...(encryption !== undefined && elsewhere.length > 0
      ? [
          'the records do not say what is in clear in the other etcds: before identity goes, ask each with --encryption-config',
        ]
      : []),
  ]
}
