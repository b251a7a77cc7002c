import { hex, sameBytes } from '@sealwright/bytes'
import { memberFingerprint } from '@sealwright/control-api'
import {
  currentGeneration,
  findGeneration,
  findMember,
  findRecords,
  findSeal,
  isQuantumExposed,
  type Keyring,
  type KeyringRecord,
  type Member,
  type Seal,
} from '@sealwright/keyring'
import { type SealConfig } from '@sealwright/node-config'
import { readShareSet, ShamirError } from '@sealwright/shamir'
import { type GenerationFacts, type MemberFacts, type RecordFacts, type SealFacts } from '../control/operations.ts'

/** Which member, in words of the control API. */
export type MemberName = Pick<MemberFacts, 'sealName' | 'memberId' | 'label'>

/** All members, those that were removed too. */
export function memberFacts(keyring: Keyring): readonly MemberFacts[] {
  return keyring.members.flatMap(member => {
    const seal = sealOf(keyring, member)
    return seal === undefined ? [] : [factsOf(keyring, seal, member)]
  })
}

/** Facts of one member that the keyring lists. */
function factsOf(keyring: Keyring, seal: Seal, member: Member): MemberFacts {
  const { threshold, shares } = sharesOf(keyring, seal, member)
  return {
    ...nameOf(seal, member),
    sealType: seal.sealType,
    fingerprint: fingerprintOf(seal, member),
    state: stateOf(seal, member),
    isReachableByPublicKey: member.wrappingKey.byteLength > 0,
    records: findRecords(keyring, member).map(record => recordFacts(keyring, record)),
    ...(threshold === undefined || shares === undefined ? {} : { shares: { threshold, count: shares } }),
  }
}

/** 16 bytes in hex. */
export function fingerprintOf({ sealType }: Seal, member: Member): string {
  return memberFingerprint({ ...member, sealType })
}

/** Facts of a member that the keyring lists as one of this seal. */
export function listedMember(keyring: Keyring, sealName: string, memberId: Uint8Array): MemberFacts {
  const seal = findSeal(keyring, sealName)
  const member = findMember(keyring, sealName, memberId)
  if (member === undefined || seal === undefined) throw new TypeError(`the keyring lists no such member of ${sealName}`)
  return factsOf(keyring, seal, member)
}

export function nameOf(seal: Seal, { memberId, label }: Member): MemberName {
  return { sealName: seal.name, memberId: hex(memberId), label }
}

/**
 * Every seal that the keyring or this node's configuration has, those of the configuration first.
 *
 * @param keyring - `undefined` while none is held: then nobody knows who the members are, nor which seals other nodes have.
 */
export function sealFacts(
  keyring: Keyring | undefined,
  configured: readonly SealConfig[],
  openedBy: string | undefined,
): readonly SealFacts[] {
  const listed = keyring?.seals.filter(({ state }) => state === 'active') ?? []
  const members = keyring && memberFacts(keyring).filter(({ state }) => state === 'active')
  const local = configured.map(({ name, type, priority, disabled }) => ({
    ...{ name, type },
    configured: { priority, disabled },
  }))
  const others = listed
    .filter(({ name }) => !configured.some(seal => seal.name === name))
    .map(({ name, sealType }) => ({ name, type: sealType, configured: undefined }))
  return [...local, ...others].map(seal => ({
    ...seal,
    members: members?.filter(({ sealName }) => sealName === seal.name),
    hasOpened: seal.name === openedBy,
  }))
}

export function generationFacts(keyring: Keyring): readonly GenerationFacts[] {
  const current = currentGeneration(keyring)
  return keyring.generations.map(generation => {
    const { number, keyId, state, step } = generation
    return { number, keyId, state, step, isCurrent: generation === current }
  })
}

export function sealOf(keyring: Keyring, { sealId }: Pick<Member, 'sealId'>): Seal | undefined {
  return keyring.seals.find(seal => sameBytes(seal.sealId, sealId))
}

/** A member of a removed seal is removed, whatever is listed: whoever had an old key can have listed it since. */
export function stateOf(seal: Seal, member: Member): Member['state'] {
  return seal.state === 'active' ? member.state : 'removed'
}

function recordFacts(keyring: Keyring, { generationId, method, createdAtMs }: KeyringRecord): RecordFacts {
  const generation = findGeneration(keyring, generationId)
  return {
    generation: generation?.number ?? 0,
    keyId: generation?.keyId ?? '',
    method,
    isQuantumExposed: isQuantumExposed(method),
    createdAtMs,
  }
}

function sharesOf({ clusterId }: Keyring, seal: Seal, member: Member): { threshold?: number; shares?: number } {
  if (seal.sealType !== 'shamir' || member.state !== 'active') return {}
  try {
    const { threshold, shares } = readShareSet({ clusterId, member })
    return { threshold, shares }
  } catch (error) {
    // Who had an old key can have planted a set that is none: it must be seen, to be removed.
    if (error instanceof ShamirError) return {}
    throw error
  }
}
