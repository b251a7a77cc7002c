import { type AuditEvent } from '@sealwright/audit'
import { relabelMember, removeMember, retireGeneration } from '@sealwright/keyring'
import { fakeSeal } from '../testing/fake-seal.ts'
import { begun, enrolled, rotated } from '../testing/keyrings.ts'
import { auditTrail, changesBetween } from './audit-trail.ts'

const kindsOf = (events: readonly AuditEvent[]) => events.map(({ kind }) => kind)
const failure = { code: 'TPM_UNREACHABLE', message: 'no TPM', kind: 'transient' } as const

describe('the audit trail', () => {
  it('writes down a change of what a seal does, and not each try', () => {
    const events: AuditEvent[] = []
    const trail = auditTrail({ append: event => events.push(event), sealType: () => 'tpm', generation: () => 1 })
    const opened = { kind: 'opened', sealName: 'tpm', tookMs: 3.6 } as const
    const failed = { kind: 'failed', sealName: 'tpm', tookMs: 7, failure } as const
    for (const attempt of [opened, opened, failed, failed, opened]) trail.attempt(attempt)
    expect(events).toEqual([
      { kind: 'seal-opened', seal: 'tpm', sealType: 'tpm', tookMs: 4, generation: 1 },
      { kind: 'seal-failed', seal: 'tpm', sealType: 'tpm', tookMs: 7, code: 'TPM_UNREACHABLE' },
      { kind: 'seal-opened', seal: 'tpm', sealType: 'tpm', tookMs: 4, generation: 1 },
    ])
  })

  it('writes down what happened to the keyring since it was held, whoever did it', async () => {
    const events: AuditEvent[] = []
    const trail = auditTrail({ append: event => events.push(event), sealType: () => 'tpm', generation: () => 1 })
    const first = await begun([fakeSeal()])
    trail.keyring(first.keyring)
    trail.keyring(first.keyring)
    expect(events).toEqual([])
    trail.keyring(rotated(first).keyring)
    expect(kindsOf(events)).toEqual(['generation-added', 'generation-activated'])
  })
})

describe('what happened between two keyrings', () => {
  it('is told for seals, members, records and generations', async () => {
    const [one, two] = [fakeSeal(), fakeSeal({ name: 'second', device: 'b' })]
    const first = await begun([one])
    const both = await enrolled(first, [two])
    expect(kindsOf(changesBetween(first.keyring, both.keyring))).toEqual([
      'seal-added',
      'member-enrolled',
      'record-added',
    ])
    const [member] = both.keyring.members
    if (member === undefined) throw new Error('no member')
    const without = removeMember({ ...both, place: member })
    expect(kindsOf(changesBetween(both.keyring, without))).toEqual(['member-revoked', 'record-removed'])
    const relabelled = relabelMember({ ...both, place: member, label: 'node-b' })
    expect(changesBetween(both.keyring, relabelled)).toMatchObject([
      { kind: 'member-relabelled', label: 'node-b', formerLabel: 'node' },
    ])
    const next = await enrolled(rotated(both), [one, two])
    const [oldest] = next.keyring.generations
    if (oldest === undefined) throw new Error('no generation')
    const retired = retireGeneration({ ...next, id: oldest.id })
    expect(kindsOf(changesBetween(next.keyring, retired))).toEqual([
      'generation-retired',
      'record-removed',
      'record-removed',
    ])
  })
})
