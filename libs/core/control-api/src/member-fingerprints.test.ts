import fc from 'fast-check'
import {
  type FingerprintedMember,
  memberFingerprint,
  membersNamed,
  memberSetFingerprint,
} from './member-fingerprints.ts'

const filled = (byteLength: number, value: number): Uint8Array => new Uint8Array(byteLength).fill(value)

const node: FingerprintedMember = {
  ...{ sealId: filled(16, 1), sealType: 'tpm', memberId: filled(16, 2) },
  ...{ label: 'node-a', wrappingKey: filled(90, 3), data: filled(0, 0) },
}
const board: FingerprintedMember = {
  ...{ sealId: filled(16, 4), sealType: 'shamir', memberId: filled(16, 5) },
  ...{ label: 'board', wrappingKey: filled(1_216, 6), data: filled(40, 7) },
}
const bytes = fc.uint8Array({ maxLength: 20 })
const anyMember = fc.record({
  ...{ sealId: bytes, sealType: fc.constantFrom('tpm', 'shamir', 'pkcs11'), memberId: bytes },
  ...{ label: fc.string({ maxLength: 8 }), wrappingKey: bytes, data: bytes },
})

describe('the fingerprint of a member', () => {
  it('is what a second implementation, in Python, has computed', () => {
    expect([node, board].map(memberFingerprint)).toEqual([
      'fa02b55b9ecb05cf6216d60dfc5e59aa',
      'ab32ec7ef2525bb911c5a786a101b2fd',
    ])
  })

  it.each<[string, Partial<FingerprintedMember>]>([
    ['the seal', { sealId: filled(16, 9) }],
    ['the type of the seal', { sealType: 'pkcs11' }],
    ['the id', { memberId: filled(16, 9) }],
    ['the label', { label: 'node-b' }],
    ['the public key', { wrappingKey: filled(90, 9) }],
    ['the data', { data: filled(1, 0) }],
    ['the place where one field ends', { wrappingKey: filled(89, 3), data: filled(1, 3) }],
  ])('is another one where %s is another one', (_what, change) => {
    expect(memberFingerprint({ ...node, ...change })).not.toBe(memberFingerprint(node))
  })

  it('is the same for the same member alone', () => {
    fc.assert(
      fc.property(anyMember, anyMember, (one, other) => {
        const isSame = JSON.stringify(plain(one)) === JSON.stringify(plain(other))
        expect(memberFingerprint(one) === memberFingerprint(other)).toBe(isSame)
      }),
    )
  })
})

describe('the fingerprint of a set of members', () => {
  it('is what a second implementation, in Python, has computed, in whatever order they come', () => {
    const both = [node, board].map(memberFingerprint)
    expect(memberSetFingerprint(both)).toBe('fa6718356b90000f568826174ac1064b')
    expect(memberSetFingerprint(both.toReversed())).toBe('fa6718356b90000f568826174ac1064b')
    expect(memberSetFingerprint([])).toBe('1db114e5db1ebaa9456f4618330c3a7e')
  })

  it('is another one with one more, one less or one twice', () => {
    const [one, other] = [node, board].map(memberFingerprint)
    const sets = [[], [one], [other], [one, other], [one, one]].map(set => set.filter(member => member !== undefined))
    expect(new Set(sets.map(memberSetFingerprint)).size).toBe(sets.length)
  })
})

describe('a member that people name', () => {
  const listed = [
    { memberId: 'a', fingerprint: '1' },
    { memberId: 'b', fingerprint: '2' },
    // In a seal of their own an intruder lists what they like.
    { memberId: 'b', fingerprint: '3' },
    { memberId: '1', fingerprint: '4' },
  ]

  it.each([
    ['by its id, in whichever seals it is', ['b'], ['2', '3']],
    ['by its fingerprint, when another bears its id', ['3'], ['3']],
    ['twice', ['a', 'a', '2'], ['1', '2']],
  ])('is found %s', (_how, names, found) => {
    const { named, unknown } = membersNamed(listed, names)
    expect([[...named].map(({ fingerprint }) => fingerprint), unknown]).toEqual([found, undefined])
  })

  it('is unknown if nothing is called so, or two things are', () => {
    expect(membersNamed(listed, ['a', 'c']).unknown).toBe('c')
    expect(membersNamed(listed, ['1']).unknown).toBe('1')
  })
})

function plain(member: FingerprintedMember): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(member).map(([name, value]) => [name, [...Buffer.from(value as Uint8Array | string)]]),
  )
}
