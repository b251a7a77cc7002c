import { isWrittenBy, pluginAt, rulesFor } from '../encryption/rules.ts'
import { type Finding } from './finding.ts'
import {
  everyApiServerBy,
  OTHER_ETCDS,
  prefixReasons,
  reason,
  ungroupedReasons,
  unknownKeyReasons,
  wrongFileReasons,
} from './reasons.ts'
import { type Group, type Tally } from './tally.ts'
import { type EncryptionToCheck, type Verdict } from './verdict.ts'

/**
 * Judges whether the plugin may be taken away: nothing that was found needs it. What others encrypt is not asked about. Pure.
 *
 * @param options.prefix - what was looked at; empty: everything.
 * @param options.encryption - by which kube-apiserver goes: nothing new may be encrypted by the plugin, and what it is there for must have been
 *   found, or this is another etcd than the one that is meant.
 */
export function judgeLeaving(
  { groups, objects, ungrouped }: Tally,
  { prefix, encryption }: { readonly prefix: string; readonly encryption?: EncryptionToCheck | undefined },
): Pick<Verdict, 'reasons' | 'warnings' | 'cautions'> {
  const of = (kind: Finding['kind']) => groups.filter(({ finding }) => finding.kind === kind)
  return {
    reasons: [
      ...reason(of('ours'), 'encrypted by this plugin', ': write it anew first'),
      ...reason(
        of('lost'),
        'encrypted by Sealwright, and not by a version of this key',
        ': by the plugin with another clusterId or key, or with the key that was here before',
      ),
      ...unknownKeyReasons(groups),
      ...ungroupedReasons(ungrouped),
      ...(objects > 0 ? [] : ['nothing at all was found: is it the right etcd, and the right prefix?']),
      ...prefixReasons(prefix),
      ...(encryption === undefined ? [] : encryptionReasons(groups, encryption)),
    ],
    warnings: [],
    cautions: [
      OTHER_ETCDS,
      encryption === undefined
        ? 'whether the plugin still encrypts what is new was not asked: name the file of kube-apiserver with --encryption-config'
        : everyApiServerBy(encryption),
    ],
  }
}

function encryptionReasons(groups: readonly Group[], encryption: EncryptionToCheck): readonly string[] {
  const wrongFile = wrongFileReasons(encryption)
  if (wrongFile.length > 0) return wrongFile
  const { path, rules, endpoint } = encryption
  const isOurs = pluginAt(endpoint)
  const ours = rules.filter(({ providers }) => providers.some(isOurs))
  const covered = [...new Set(ours.flatMap(({ resources }) => resources))]
  const written = covered.filter(resource => isWrittenBy(rules, resource, isOurs))
  const isFound = groups.some(({ seen }) => rulesFor(rules, seen).some(rule => ours.includes(rule)))
  return [
    ...(written.length === 0
      ? []
      : [`${path}: the plugin still encrypts what is new of ${written.join(', ')}: --leave decrypt comes before this`]),
    ...(isFound
      ? []
      : [`nothing was found of ${covered.join(', ')}, for which ${path} has the plugin: is it the right etcd?`]),
  ]
}
