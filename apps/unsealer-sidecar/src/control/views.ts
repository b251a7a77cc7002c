import {
  type CeremonyView,
  type GenerationView,
  type ListedSealView,
  type MemberView,
  type PlaceView,
  type RehearsalView,
  type ReloadView,
  type RotationView,
} from '@sealwright/control-api'
import {
  type CeremonyState,
  type GenerationFacts,
  type MemberFacts,
  type RehearsalResult,
  type ReloadResult,
  type RotationResult,
  type SealFacts,
} from './operations.ts'

// Facts in the words of the control API. Field by field: what a fact gets tomorrow is not told to callers by accident.

function viewPlace({ sealName, memberId, label }: Pick<MemberFacts, 'sealName' | 'memberId' | 'label'>): PlaceView {
  return { seal: sealName, memberId, label }
}

export function viewMember(member: MemberFacts): MemberView {
  const { sealType, fingerprint, state, isReachableByPublicKey, records, shares } = member
  return {
    ...viewPlace(member),
    sealType,
    fingerprint,
    state,
    reachableByPublicKey: isReachableByPublicKey,
    records: records.map(({ generation, keyId, method, isQuantumExposed, createdAtMs }) => ({
      ...{ generation, keyId, method },
      quantumExposed: isQuantumExposed,
      createdAt: new Date(createdAtMs).toISOString(),
    })),
    ...(shares === undefined ? {} : { shares: { threshold: shares.threshold, count: shares.count } }),
  }
}

export function viewListedSeal({ name, type, configured, members, hasOpened }: SealFacts): ListedSealView {
  return {
    ...{ name, type, opened: hasOpened },
    ...(configured === undefined
      ? {}
      : { configured: { priority: configured.priority, disabled: configured.disabled } }),
    ...(members === undefined ? {} : { members: members.map(viewMember) }),
  }
}

export function viewReload({ added, changed, removed, enabled }: ReloadResult): ReloadView {
  return { added: [...added], changed: [...changed], removed: [...removed], enabled: [...enabled] }
}

export function viewGeneration({ number, keyId, state, step, isCurrent }: GenerationFacts): GenerationView {
  return { number, keyId, state, step, current: isCurrent }
}

export function viewRotation({ generation, keyId, wrapped, dropped }: RotationResult): RotationView {
  return { generation, keyId, wrapped: wrapped.map(viewPlace), dropped: dropped.map(viewPlace) }
}

export function viewCeremony(state: CeremonyState): CeremonyView {
  const { sealName, setLabel, threshold, count, entered, nonce, isComplete } = state
  return { seal: sealName, setLabel, threshold, count, entered: [...entered], nonce, complete: isComplete }
}

export function viewRehearsal({ sealName, setLabel, threshold, shares, isQuorum }: RehearsalResult): RehearsalView {
  return {
    ...{ seal: sealName, setLabel, threshold, quorum: isQuorum },
    shares: shares.map(({ index, isRight, fault }) => ({
      ...{ index, right: isRight },
      ...(fault === undefined ? {} : { fault: { code: fault.code, message: fault.message } }),
    })),
  }
}
