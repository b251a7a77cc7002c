import fc from 'fast-check'

import { beginCeremony, type Ceremony, type CeremonyEvent, ceremonyStatus, next } from './ceremony.ts'
import { type Share } from './share.ts'
import { type ShareSet } from './share-set.ts'
import { at, codeOf, copyOf, errorOf, forged, type Sample, sampleSet } from './testing/samples.ts'
import { xWingPublicKey } from './x-wing.ts'

const sample = sampleSet(3, 5)
const { set, shares } = sample

/** Brings a share; what was brought is the ceremony's, so it gets a copy. */
function bring(ceremony: Ceremony, share: Share, nonce = 'n1'): Ceremony {
  return next(ceremony, { kind: 'share', nonce, share: copyOf(share) })
}

/** A ceremony that these shares were brought to. */
function after(positions: readonly number[], of: Sample = sample): Ceremony {
  return positions.reduce(
    (ceremony, position) => bring(ceremony, at(of.shares, position)),
    beginCeremony({ set: of.set, nonce: 'n1' }),
  )
}

const isWiped = ({ value }: Share) => {
  try {
    return value.reveal(() => false)
  } catch {
    return true
  }
}

function heldBy(ceremony: Ceremony): readonly Share[] {
  if (ceremony.kind !== 'collecting') throw new Error(`it is ${ceremony.kind}`)
  return ceremony.shares
}

describe('a ceremony', () => {
  it('shows what sys/unseal of OpenBao shows, and which shares are in', () => {
    expect(ceremonyStatus(after([]))).toEqual({
      kind: 'collecting',
      nonce: 'n1',
      threshold: 3,
      shares: 5,
      progress: 0,
      indexes: [],
    })
    expect(ceremonyStatus(after([4, 0]))).toMatchObject({ kind: 'collecting', progress: 2, indexes: [5, 1] })
    expect(ceremonyStatus(after([4, 0, 2]))).toMatchObject({ kind: 'complete', progress: 3, indexes: [5, 1, 3] })
  })

  it('is complete with the last share it takes, and gives the private key of the set', () => {
    const complete = after([1, 3, 4])
    if (complete.kind !== 'complete') throw new Error('it is not complete')
    expect(xWingPublicKey(complete.privateKey)).toEqual(set.wrappingKey)
  })

  it('has wiped all shares by then, and its last state no longer holds any', () => {
    const almost = after([1, 3])
    const last = copyOf(at(shares, 4))
    next(almost, { kind: 'share', nonce: 'n1', share: last })
    expect([...heldBy(almost), last].map(isWiped)).toEqual([true, true, true])
  })

  it('begins anew on a reset, wiping what was in, and leaves a private key to whoever has it', () => {
    const almost = after([1, 3])
    const reset: CeremonyEvent = { kind: 'reset', nonce: 'n2' }
    expect(ceremonyStatus(next(almost, reset))).toMatchObject({ kind: 'collecting', nonce: 'n2', progress: 0 })
    expect(heldBy(almost).map(isWiped)).toEqual([true, true])
    const complete = after([0, 1, 2])
    if (complete.kind !== 'complete') throw new Error('it is not complete')
    expect(ceremonyStatus(next(complete, reset))).toMatchObject({ kind: 'collecting', progress: 0 })
    expect(complete.privateKey.byteLength).toBe(32)
    expect(xWingPublicKey(complete.privateKey)).toEqual(set.wrappingKey)
  })

  it('rebuilds the key from any quorum in any order, whatever stray shares come between', () => {
    const stray = [forged(at(shares, 0)), at(sampleSet(3, 5).shares, 1), at(sampleSet(2, 2, 'a', 'b').shares, 0)]
    const bringings = fc.array(fc.oneof(fc.integer({ min: 0, max: 4 }), fc.constantFrom(...stray)), { maxLength: 30 })
    fc.assert(
      fc.property(bringings, events => {
        let ceremony = after([])
        for (const event of events) {
          if (ceremony.kind !== 'collecting') break
          const before = ceremonyStatus(ceremony)
          const share = typeof event === 'number' ? at(shares, event) : event
          const welcome = typeof event === 'number' && !before.indexes.includes(event + 1)
          if (welcome) {
            ceremony = bring(ceremony, share)
            expect(ceremonyStatus(ceremony).progress).toBe(before.progress + 1)
          } else {
            const now = ceremony
            expect(codeOf(() => bring(now, share))).toMatch(/^SHAMIR_/)
            expect(ceremonyStatus(ceremony)).toEqual(before)
          }
        }
        const different = new Set(events.filter(event => typeof event === 'number')).size
        expect(ceremony.kind).toBe(different >= 3 ? 'complete' : 'collecting')
      }),
    )
  })
})

describe('a share that a ceremony does not take', () => {
  const others = [
    { ...sampleSet(2, 2, 'auditors').set, sealName: 'auditors', label: 'firm' },
    { ...sampleSet(2, 2).set, sealName: 'people', label: 'night-shift' },
  ]
  const open = next(beginCeremony({ set, nonce: 'n1', others }), {
    kind: 'share',
    nonce: 'n1',
    share: copyOf(at(shares, 0)),
  })
  const over = after([0, 1, 2])

  it.each<[string, Ceremony, Share, string, string]>([
    ['that was brought already', open, at(shares, 0), 'n1', 'SHAMIR_SHARE_REPEATED'],
    ['that is wrong', open, forged(at(shares, 1)), 'n1', 'SHAMIR_SHARE_WRONG'],
    ['that is wrong, and of an index that is in', open, forged(at(shares, 0)), 'n1', 'SHAMIR_SHARE_WRONG'],
    ['of another set', open, at(sampleSet(3, 5).shares, 1), 'n1', 'SHAMIR_OTHER_SET'],
    ['of another cluster', open, at(sampleSet(3, 5, 'people', 'b').shares, 1), 'n1', 'SHAMIR_OTHER_CLUSTER'],
    ['for another attempt', open, at(shares, 1), 'n0', 'SHAMIR_NONCE_MISMATCH'],
    ['for one that is over', over, at(shares, 3), 'n1', 'SHAMIR_CEREMONY_OVER'],
  ])('%s is refused and wiped, and what was in stays in', (_what, ceremony, share, nonce, code) => {
    const before = ceremonyStatus(ceremony)
    const brought = copyOf(share)
    const error = errorOf(() => next(ceremony, { kind: 'share', nonce, share: brought }))
    expect(error.code).toBe(code)
    expect(isWiped(brought)).toBe(true)
    expect(ceremonyStatus(ceremony)).toEqual(before)
    if (ceremony.kind === 'collecting') expect(ceremony.shares.some(isWiped)).toBe(false)
  })

  it('is named by its index where it is wrong or repeated', () => {
    expect(errorOf(() => bring(open, forged(at(shares, 1)))).index).toBe(2)
    expect(errorOf(() => bring(open, at(shares, 0))).index).toBe(1)
  })

  it('is told by its seal if that is another one of this cluster', () => {
    const named = sampleSet(2, 2, 'auditors')
    const ceremony = beginCeremony({
      set,
      nonce: 'n1',
      others: [{ ...named.set, sealName: 'auditors', label: 'firm' }],
    })
    expect(codeOf(() => bring(ceremony, at(named.shares, 0)))).toBe('SHAMIR_OTHER_SEAL')
  })
})

describe('a ceremony over a keyring that somebody changed', () => {
  /** The wrapping key of another set, with check values that fit the shares. */
  const changed: ShareSet = { ...set, wrappingKey: sampleSet(3, 5).set.wrappingKey }

  it('fails with SHAMIR_KEY_MISMATCH, gives no key, and has wiped all shares', () => {
    const almost = after([0, 1], { set: changed, shares })
    const failed = bring(almost, at(shares, 2))
    if (failed.kind !== 'failed') throw new Error('it has not failed')
    expect(failed.error.code).toBe('SHAMIR_KEY_MISMATCH')
    expect(heldBy(almost).map(isWiped)).toEqual([true, true])
    expect(ceremonyStatus(failed)).toMatchObject({ kind: 'failed', progress: 3, indexes: [1, 2, 3] })
    expect(codeOf(() => bring(failed, at(shares, 3)))).toBe('SHAMIR_CEREMONY_OVER')
    expect(next(failed, { kind: 'reset', nonce: 'n2' }).kind).toBe('collecting')
  })
})
