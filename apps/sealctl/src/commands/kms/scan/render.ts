import { type EtcdLookedAt } from '@sealwright/kms-backends'
import { plain, table } from '../../../render/plain.ts'
import { type KeyFacts } from '../key-facts.ts'
import { describeEtcd } from '../words.ts'
import { type Finding } from './finding.ts'
import { type Scan } from './scan.ts'
import { type Group } from './tally.ts'
import { type Verdict } from './verdict.ts'

/** What was to be found out. */
export type Question =
  /** Whether older versions are needed, 0: none is asked about; and whether all is encrypted that the file has the plugin encrypt. */
  | { readonly kind: 'rotation'; readonly version: number; readonly encryptionPath: string | undefined }
  /** Whether the plugin itself is needed. */
  | { readonly kind: 'leaving' }

/** What a scan has found, the verdict last. */
export function renderScan({
  scan: { tally, etcd, revision },
  verdict: { reasons, warnings, cautions },
  question,
  key,
  output,
  verbose,
  elsewhere = [],
}: {
  readonly scan: Scan
  readonly verdict: Pick<Verdict, 'reasons' | 'warnings' | 'cautions'>
  readonly question: Question
  readonly key: KeyFacts
  readonly output?: string | undefined
  readonly verbose: boolean
  /** The etcds of the records that were brought. */
  readonly elsewhere?: readonly EtcdLookedAt[]
}): string {
  const encrypted = tally.groups.filter(({ finding }) => finding.kind !== 'plaintext')
  const shown = [...encrypted, ...plaintextOf(tally.groups, encrypted)].sort(byResource)
  return [
    table([
      ['cluster', key.clusterId],
      ['etcd', `${describeEtcd(etcd)}, revision ${revision}, ${tally.objects} keys`],
      ...elsewhere.map(each => ['by record', describeEtcd(each)]),
      ['encrypts', `version ${key.active.version}`],
    ]),
    '\n',
    table([
      ['RESOURCE', 'STORED', 'VERSION', 'KEY ID', 'OBJECTS'],
      ...shown.map(({ resource, finding, objects }) => [
        ...[resource, describe(finding), 'version' in finding ? String(finding.version) : '-'],
        ...['keyId' in finding ? finding.keyId : '-', String(objects)],
      ]),
    ]),
    ...(verbose ? shown.flatMap(({ examples }) => examples.map(name => plain(`  ${name}`) + '\n')) : []),
    '\n',
    ...warnings.map(warning => plain(`warning: ${warning}`) + '\n'),
    ...reasons.map(reason => plain(`no: ${reason}`) + '\n'),
    ...verdictText(question, reasons),
    // Under a no they would only take the eye off it.
    ...(reasons.length > 0 ? [] : cautions.map(caution => plain(`CAUTION: ${caution}`) + '\n')),
    ...(output === undefined ? [] : [plain(`the record is in ${output}`) + '\n']),
  ].join('')
}

const BACKUPS =
  'CAUTION: snapshots of etcd from before still need it. Keep it, or make a new snapshot and destroy the old ones first.\n'

const KEEP_KEY =
  'CAUTION: backups of etcd from before still need the key, kms.yaml and a way to log in: keep them as long as the backups.\n'

function verdictText(question: Question, reasons: readonly string[]): readonly string[] {
  const isSound = reasons.length === 0
  if (question.kind === 'leaving') {
    return isSound
      ? ['verdict: nothing that this etcd holds now needs this plugin\n', KEEP_KEY]
      : ['verdict: THE PLUGIN MUST STAY\n']
  }
  const { version, encryptionPath } = question
  if (!isSound) return [version === 0 ? 'verdict: not sound\n' : `verdict: VERSION ${version} MUST STAY\n`]
  const versions =
    version === 0
      ? 'verdict: there is no older version to retire\n'
      : `verdict: nothing that this etcd holds now needs version ${version} or an older one\n${BACKUPS}`
  if (encryptionPath === undefined) return [versions]
  const encrypted = `verdict: all that ${encryptionPath} has this plugin encrypt is encrypted by it here: identity may go\n`
  return [...(version === 0 ? [] : [versions]), plain(encrypted.trimEnd()) + '\n']
}

/** Most of etcd is meant to be in clear: only what has encrypted neighbours is worth a line, and Secrets. */
function plaintextOf(groups: readonly Group[], encrypted: readonly Group[]): readonly Group[] {
  const resources = new Set(['secrets', ...encrypted.map(({ resource }) => resource)])
  return groups.filter(({ finding, resource }) => finding.kind === 'plaintext' && resources.has(resource))
}

function describe(finding: Finding): string {
  switch (finding.kind) {
    case 'ours':
      return `${finding.provider} (KMS v2)`
    case 'lost':
      return `${finding.provider} (KMS v2), NOT OF THIS KEY`
    case 'other-kms':
      return `${finding.provider} (KMS v2), another plugin`
    case 'kms-v1':
      return `${finding.provider} (KMS v1)`
    case 'local':
      return `${finding.method}, key ${finding.keyName}`
    case 'unknown-encryption':
      return 'encrypted in an unknown way'
    case 'plaintext':
      return 'in clear'
    case 'damaged':
      return 'DAMAGED'
  }
}

function byResource(a: Group, b: Group): number {
  return a.resource.localeCompare(b.resource, 'en') || describe(a.finding).localeCompare(describe(b.finding), 'en')
}
