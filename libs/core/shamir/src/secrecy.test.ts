import { randomBytes } from 'node:crypto'
import { printsOf, spellingsOf } from '@sealwright/testing-checks'

import { beginCeremony, next } from './ceremony.ts'
import { createShareSet } from './create-share-set.ts'
import { rehearse } from './rehearsal.ts'
import { formatShareCard } from './share-card.ts'
import { encodeShare } from './share-text.ts'
import { ShamirError } from './shamir-error.ts'
import { at, bytesOf, copyOf, errorOf, forged, sampleSet } from './testing/samples.ts'

const { set, shares } = sampleSet(2, 3)

describe('no type of this library shows a share or the private key', () => {
  const collecting = next(beginCeremony({ set, nonce: 'n' }), {
    kind: 'share',
    nonce: 'n',
    share: copyOf(at(shares, 0)),
  })
  const begun = next(beginCeremony({ set, nonce: 'n' }), { kind: 'share', nonce: 'n', share: copyOf(at(shares, 0)) })
  const complete = next(begun, { kind: 'share', nonce: 'n', share: copyOf(at(shares, 1)) })
  if (complete.kind !== 'complete') throw new Error('it is not complete')
  const secrets = [
    ...shares.map(({ value }) => bytesOf(value)),
    ...shares.map(share => bytesOf(encodeShare(share))),
    bytesOf(complete.privateKey),
  ].flatMap(spellingsOf)

  it.each<[string, unknown]>([
    ['a share', at(shares, 0)],
    ['its text', encodeShare(at(shares, 0))],
    ['its card', formatShareCard({ share: at(shares, 0), sealName: 's', setLabel: 'l', createdAtMs: 0 })],
    ['a set', set],
    ['a new set', createShareSet({ clusterId: set.clusterId, threshold: 2, shares: 2, randomBytes })],
    ['a ceremony', collecting],
    ['a ceremony that is complete', complete],
    ['a rehearsal', rehearse({ set, shares: [copyOf(at(shares, 0)), forged(at(shares, 1))] })],
    [
      'an error',
      new ShamirError('SHAMIR_INPUT_INVALID', 'text', {
        cause: errorOf(() =>
          next(beginCeremony({ set, nonce: 'n' }), { kind: 'share', nonce: 'n', share: forged(at(shares, 0)) }),
        ),
      }),
    ],
  ])('printed, inspected or serialised: %s', (_what, value) => {
    for (const printed of [...printsOf(value), ...printsOf({ nested: [value] })]) {
      for (const spelling of secrets) expect(printed).not.toContain(spelling)
    }
  })
})
