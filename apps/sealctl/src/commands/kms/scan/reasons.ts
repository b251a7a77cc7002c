import { pluginAt } from '../encryption/rules.ts'
import { type Group } from './tally.ts'
import { type EncryptionToCheck } from './verdict.ts'

/** What no look at one etcd can show. */
export const OTHER_ETCDS =
  'etcds that are not named here were not looked at: those of --etcd-servers-overrides, of API servers beside this one, of virtual clusters that have this plugin. Look through each'

/** What no look at one file, on one node, can show. */
export function everyApiServerBy({ path }: EncryptionToCheck): string {
  return `other API servers were not asked: EVERY one must have gone by ${path}, as it is here, before this look began; one that goes by an older file writes as that says`
}

/** One sentence of some groups; none if there are none. */
export function reason(groups: readonly Group[], what: string, more = ''): readonly string[] {
  return groups.length === 0 ? [] : [`${count(groups)} ${what}: ${resources(groups)}${more}`]
}

function count(groups: readonly Group[]): string {
  const objects = groups.reduce((sum, group) => sum + group.objects, 0)
  return objects === 1 ? '1 object is' : `${objects} objects are`
}

const MAX_NAMED = 8

/** Their names, the first few of many. */
export function resources(groups: readonly Group[]): string {
  const names = [...new Set(groups.map(({ resource }) => resource))]
  return names.length <= MAX_NAMED
    ? names.join(', ')
    : `${names.slice(0, MAX_NAMED).join(', ')} and ${names.length - MAX_NAMED} more`
}

/** Of what may be by any key: no verdict is yes while there is some. */
export function unknownKeyReasons(groups: readonly Group[]): readonly string[] {
  return [
    ...reason(
      groups.filter(({ finding }) => finding.kind === 'damaged'),
      'damaged, so that nobody knows by which key',
    ),
    ...reason(
      groups.filter(({ finding }) => finding.kind === 'unknown-encryption'),
      'encrypted in a way that is not known, or damaged',
    ),
  ]
}

/** @param ungrouped - of the tally. */
export function ungroupedReasons(ungrouped: number): readonly string[] {
  return ungrouped === 0 ? [] : [`${ungrouped} objects are of more kinds than can be told apart`]
}

/** @param prefix - what was looked at; empty: everything. */
export function prefixReasons(prefix: string): readonly string[] {
  return prefix === '' ? [] : [`only keys that begin with ${prefix} were looked at: what else there is nobody has seen`]
}

/** One, where the plugin is not in the file at all. */
export function wrongFileReasons({ path, rules, endpoint }: EncryptionToCheck): readonly string[] {
  const isOurs = pluginAt(endpoint)
  if (rules.some(({ providers }) => providers.some(isOurs))) return []
  return [`${path}: no provider has the endpoint ${endpoint}: is it the right file?`]
}
