import { type AuditEvent } from '@sealwright/audit'
import { hex, sameBytes } from '@sealwright/bytes'
import { findGeneration, type Keyring, type KeyringRecord, type Member, type Seal } from '@sealwright/keyring'
import { type SealAttempt } from '@sealwright/unseal'

/** Writes down what happens to seals and keyring. */
export interface AuditTrail {
  /** One try of one seal. Of tries that end as the one before did only the first is written. */
  attempt(attempt: SealAttempt): void
  /** What is held now: what it has that the one before had not, and the other way round. */
  keyring(held: Keyring): void
}

export interface AuditTrailDependencies {
  /** Takes an event, and never throws. */
  readonly append: (event: AuditEvent) => void
  /** The type of a seal of this node's configuration. */
  readonly sealType: (sealName: string) => string
  /** Number of the generation that is held; 0 while none is. */
  readonly generation: () => number
}

export function auditTrail({ append, sealType, generation }: AuditTrailDependencies): AuditTrail {
  const lastResults = new Map<string, string>()
  let before: Keyring | undefined
  return {
    attempt(attempt) {
      const { sealName, kind } = attempt
      const result = kind === 'opened' ? kind : attempt.failure.code
      if (lastResults.get(sealName) === result) return
      lastResults.set(sealName, result)
      const common = { seal: sealName, sealType: sealType(sealName), tookMs: Math.round(attempt.tookMs) }
      if (kind === 'opened') append({ kind: 'seal-opened', ...common, generation: generation() })
      else append({ kind: 'seal-failed', ...common, code: attempt.failure.code })
    },
    keyring(held) {
      // The first one after a start is no news: it was written down when it was made.
      if (before !== undefined && before !== held) for (const event of changesBetween(before, held)) append(event)
      before = held
    },
  }
}

/** What happened to a keyring, in the order in which a reader understands it. */
export function changesBetween(before: Keyring, after: Keyring): readonly AuditEvent[] {
  return [
    ...sealChanges(before, after),
    ...generationChanges(before, after),
    ...memberChanges(before, after),
    ...recordChanges(before, after),
  ]
}

function sealChanges(before: Keyring, after: Keyring): readonly AuditEvent[] {
  return after.seals.flatMap((seal): readonly AuditEvent[] => {
    const former = before.seals.find(other => sameBytes(other.sealId, seal.sealId))
    const facts = { seal: seal.name, sealType: seal.sealType, sealId: hex(seal.sealId) }
    if (seal.state === 'active' && former?.state !== 'active') return [{ kind: 'seal-added', ...facts }]
    if (seal.state === 'removed' && former?.state === 'active') return [{ kind: 'seal-removed', ...facts }]
    if (former !== undefined && former.name !== seal.name) {
      return [{ kind: 'seal-renamed', seal: seal.name, formerName: former.name, sealId: facts.sealId }]
    }
    return []
  })
}

function generationChanges(before: Keyring, after: Keyring): readonly AuditEvent[] {
  return after.generations.flatMap((generation): readonly AuditEvent[] => {
    const former = findGeneration(before, generation.id)
    const facts = { generation: generation.number, generationId: hex(generation.id), keyId: generation.keyId }
    const { state, step } = generation
    return [
      ...(former === undefined ? [{ kind: 'generation-added', ...facts, step } as const] : []),
      ...(state === 'active' && former?.state !== 'active'
        ? [{ kind: 'generation-activated', ...facts } as const]
        : []),
      ...(state === 'retired' && former?.state !== 'retired'
        ? [{ kind: 'generation-retired', ...facts } as const]
        : []),
    ]
  })
}

function memberChanges(before: Keyring, after: Keyring): readonly AuditEvent[] {
  return after.members.flatMap((member): readonly AuditEvent[] => {
    const former = before.members.find(other => isSameMember(other, member))
    const facts = { seal: sealNameOf(after, member), memberId: hex(member.memberId), label: member.label }
    if (member.state === 'active' && former?.state !== 'active') return [{ kind: 'member-enrolled', ...facts }]
    if (member.state === 'removed' && former?.state === 'active') return [{ kind: 'member-revoked', ...facts }]
    if (former !== undefined && former.label !== member.label) {
      return [{ kind: 'member-relabelled', ...facts, formerLabel: former.label }]
    }
    return []
  })
}

function recordChanges(before: Keyring, after: Keyring): readonly AuditEvent[] {
  const isListed = (keyring: Keyring, record: KeyringRecord): boolean =>
    keyring.records.some(
      other =>
        isSameMember(other, record) &&
        sameBytes(other.generationId, record.generationId) &&
        other.entryVersion === record.entryVersion,
    )
  const facts = (keyring: Keyring, record: KeyringRecord) => ({
    seal: sealNameOf(keyring, record),
    memberId: hex(record.memberId),
    generation: findGeneration(keyring, record.generationId)?.number ?? 0,
    method: record.method,
  })
  return [
    ...after.records
      .filter(record => !isListed(before, record))
      .map(record => ({ kind: 'record-added', ...facts(after, record) }) as const),
    ...before.records
      .filter(record => !isListed(after, record))
      .map(record => ({ kind: 'record-removed', ...facts(before, record) }) as const),
  ]
}

function sealNameOf({ seals }: Keyring, { sealId }: Pick<Seal, 'sealId'>): string {
  return seals.find(seal => sameBytes(seal.sealId, sealId))?.name ?? hex(sealId)
}

function isSameMember(one: Pick<Member, 'sealId' | 'memberId'>, other: Pick<Member, 'sealId' | 'memberId'>): boolean {
  return sameBytes(one.sealId, other.sealId) && sameBytes(one.memberId, other.memberId)
}
