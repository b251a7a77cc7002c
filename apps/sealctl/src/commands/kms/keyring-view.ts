import { hex } from '@sealwright/bytes'
import { currentGeneration, findRecords, type Keyring, kmsChain, leadsToCurrent } from '@sealwright/keyring'
import { keyIdOf } from '@sealwright/kms-v2'
import { table } from '../../render/plain.ts'
import { type OpenKmsNode } from './open-kms-node.ts'

/** One version of the key, for people and programs. */
export interface VersionView {
  readonly version: number
  /** As kube-apiserver stores it beside what is encrypted by it. */
  readonly keyId: string
  readonly state: string
  /** No node encrypts by it before. */
  readonly encryptsFrom: string
  readonly isNewest: boolean
}

/** One device, or set of shares. */
export interface MemberView {
  readonly seal: string
  readonly type: string
  readonly memberId: string
  readonly label: string
  readonly state: string
  /** The versions that it has a record of, oldest first. */
  readonly records: readonly number[]
  /** Whether it opens the newest version, as far as the keyring says. */
  readonly opens: boolean
}

export function versionsOf(keyring: Keyring, { kms }: Pick<OpenKmsNode, 'kms'>): readonly VersionView[] {
  const newest = currentGeneration(keyring).number
  return kmsChain(keyring).map(({ number: version, id: lineage, state, notBeforeMs }) => ({
    version,
    keyId: keyIdOf({ provider: 'keyring', clusterId: kms.clusterId, lineage, version }),
    state,
    encryptsFrom: new Date(notBeforeMs + kms.rotation.activationDelayMs).toISOString(),
    isNewest: version === newest,
  }))
}

export function membersOf(keyring: Keyring): readonly MemberView[] {
  const numbers = new Map(keyring.generations.map(({ id, number }) => [hex(id), number]))
  return keyring.members.map(member => {
    const seal = keyring.seals.find(({ sealId }) => hex(sealId) === hex(member.sealId))
    const records = findRecords(keyring, member)
    return {
      ...{ seal: seal?.name ?? '', type: seal?.sealType ?? '', memberId: hex(member.memberId) },
      ...{ label: member.label, state: member.state },
      records: records.flatMap(({ generationId }) => numbers.get(hex(generationId)) ?? []).sort((a, b) => a - b),
      opens: records.length > 0 && leadsToCurrent(keyring, records),
    }
  })
}

export function renderVersions(versions: readonly VersionView[]): string {
  return table([
    ['VERSION', 'STATE', 'ENCRYPTS FROM', 'KEY ID', 'REMARKS'],
    ...versions.map(({ version, state, encryptsFrom, keyId, isNewest }) => [
      String(version),
      state,
      state === 'retired' ? '-' : encryptsFrom,
      keyId,
      isNewest ? 'newest' : '',
    ]),
  ])
}

export function renderMembers(members: readonly MemberView[]): string {
  return table([
    ['SEAL', 'TYPE', 'MEMBER', 'LABEL', 'RECORDS OF', 'OPENS'],
    ...members.map(({ seal, type, memberId, label, records, state, opens }) => [
      seal,
      type,
      memberId,
      label,
      state === 'removed' ? 'removed' : records.join(' ') || 'none',
      opens ? 'yes' : 'no',
    ]),
  ])
}
