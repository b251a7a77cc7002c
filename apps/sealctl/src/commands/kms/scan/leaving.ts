import { type Finding } from './finding.ts'
import { type Tally } from './tally.ts'
import { OTHER_ETCDS, prefixReasons, reason, ungroupedReasons, unknownKeyReasons } from './reasons.ts'
import { type Verdict } from './verdict.ts'

/**
 * Judges whether the plugin may be taken away: nothing that was found needs it. What others encrypt is not asked about. Pure.
 *
 * @param options.prefix - what was looked at; empty: everything.
 */
export function judgeLeaving(
  { groups, objects, ungrouped }: Tally,
  { prefix }: { readonly prefix: string },
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
    ],
    warnings: [],
    cautions: [OTHER_ETCDS],
  }
}
