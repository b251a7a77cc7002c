import { Secret } from '@sealwright/secret'
import {
  type CeremonyState,
  type GenerationFacts,
  type MemberFacts,
  type RotationResult,
  type SealFacts,
  type SealOperations,
} from '../operations.ts'

/** What a fake was asked to do, with bytes as text: the fake has seen what came through. */
export type Asked = readonly [name: keyof SealOperations, details: Readonly<Record<string, unknown>>]

export const CLUSTER_ID = 'c0'.repeat(16)
export const NONCE = 'ab'.repeat(16)

export const tpmMember: MemberFacts = {
  ...{ sealName: 'tpm', sealType: 'tpm', memberId: '01'.repeat(16), label: 'node-a', state: 'active' },
  fingerprint: 'a1'.repeat(16),
  isReachableByPublicKey: true,
  records: [
    { generation: 1, keyId: 'sw-1', method: 'tpm-sealed', isQuantumExposed: false, createdAtMs: 0 },
    { generation: 2, keyId: 'sw-2', method: 'tpm-imported', isQuantumExposed: true, createdAtMs: 86_400_000 },
  ],
}
export const sharesMember: MemberFacts = {
  ...{ sealName: 'people', sealType: 'shamir', memberId: '02'.repeat(16), label: 'board', state: 'active' },
  fingerprint: 'b2'.repeat(16),
  isReachableByPublicKey: true,
  records: [
    { generation: 2, keyId: 'sw-2', method: 'shamir-hybrid', isQuantumExposed: false, createdAtMs: 86_400_000 },
  ],
  shares: { threshold: 2, count: 3 },
}

export const fakeSeals: readonly SealFacts[] = [
  { name: 'tpm', type: 'tpm', configured: { priority: 1, disabled: false }, members: [tpmMember], hasOpened: true },
  {
    name: 'people',
    type: 'shamir',
    configured: { priority: 9, disabled: false },
    members: [sharesMember],
    hasOpened: false,
  },
  { name: 'gone', type: 'transit', configured: undefined, members: [], hasOpened: false },
]

export const fakeGenerations: readonly GenerationFacts[] = [
  { number: 1, keyId: 'sw-1', state: 'active', step: 'chained', isCurrent: false },
  { number: 2, keyId: 'sw-2', state: 'active', step: 'chained', isCurrent: true },
]

const rotation: RotationResult = { generation: 3, keyId: 'sw-3', wrapped: [tpmMember], dropped: [] }

const notBegun: CeremonyState = {
  ...{ sealName: 'people', setLabel: 'board', threshold: 2, count: 3 },
  ...{ entered: [], nonce: '', isComplete: false },
}

/**
 * Operations that do nothing but remember what they were asked; any of them can be replaced. The fake counts each share that comes in
 * as the next one, so that two of them complete.
 */
export function fakeOperations(replaced: Partial<SealOperations> = {}): {
  readonly operations: SealOperations
  readonly asked: readonly Asked[]
} {
  const asked: Asked[] = []
  let ceremony = notBegun
  const note = (name: keyof SealOperations, request: object = {}): void => {
    asked.push([name, Object.fromEntries(Object.entries(request).map(([field, value]) => [field, readable(value)]))])
  }
  const operations: SealOperations = {
    seals: () => fakeSeals,
    members: () => [tpmMember, sharesMember],
    generations: () => fakeGenerations,
    reload: request => {
      note('reload', request)
      return Promise.resolve({ added: ['people'], changed: ['tpm'], removed: ['old'], enabled: ['tpm', 'people'] })
    },
    initialise: request => {
      note('initialise', request)
      const isShamir = request.sealName === 'people'
      const shares = isShamir ? ['share-one', 'share-two', 'share-three'] : []
      return Promise.resolve({
        member: isShamir ? sharesMember : tpmMember,
        clusterId: CLUSTER_ID,
        shares: shares.map(text => new Secret(Buffer.from(text))),
      })
    },
    confirmShares: request => {
      note('confirmShares', request)
      return Promise.resolve(sharesMember)
    },
    deleteSeal: request => {
      note('deleteSeal', request)
      return Promise.resolve()
    },
    rotate: request => {
      note('rotate', request)
      return Promise.resolve(rotation)
    },
    revokeMember: request => {
      note('revokeMember', request)
      return Promise.resolve({ ...rotation, dropped: [sharesMember] })
    },
    retire: async request => {
      let byteLength = 0
      for await (const chunk of request.snapshot) byteLength += chunk.byteLength
      note('retire', { ...request, snapshot: byteLength })
      return { retired: fakeGenerations.slice(0, 1), kept: fakeGenerations.slice(1) }
    },
    exportKeyring: () => Uint8Array.of(0, 255, 10, 13),
    importKeyring: request => {
      note('importKeyring', request)
      return Promise.resolve({ revision: 7, hasChanged: true })
    },
    approveEnrolment: request => {
      note('approveEnrolment', request)
      return Promise.resolve({ member: { ...tpmMember, label: request.label }, keyring: Uint8Array.of(1, 2, 3) })
    },
    enterShare: request => {
      note('enterShare', request)
      const entered = [...ceremony.entered, ceremony.entered.length + 1]
      ceremony = { ...ceremony, entered, nonce: NONCE, isComplete: entered.length >= ceremony.threshold }
      return Promise.resolve(ceremony)
    },
    resetShares: request => {
      note('resetShares', request)
      ceremony = notBegun
      return Promise.resolve(request.sealName === 'gone' ? undefined : ceremony)
    },
    ceremonies: () => [ceremony],
    shareSets: sealName => Promise.resolve(sealName === 'people' ? [ceremony] : []),
    rehearse: request => {
      note('rehearse', request)
      const shares = request.shares.map((_share, index) => ({ index: index + 1, isRight: index !== 2 }))
      return Promise.resolve({
        ...{ sealName: 'people', setLabel: 'board', threshold: 2, shares },
        isQuorum: shares.filter(({ isRight }) => isRight).length >= 2,
      })
    },
    ...replaced,
  }
  return { operations, asked }
}

/** A copy that outlives what is wiped. */
function readable(value: unknown): unknown {
  if (value instanceof Secret) return value.reveal(bytes => Buffer.from(bytes).toString())
  if (value instanceof Uint8Array) return Buffer.from(value).toString()
  return Array.isArray(value) ? (value as readonly unknown[]).map(readable) : value
}
