import { randomBytes } from 'node:crypto'
import { readReadmeExamples } from '@sealwright/testing-checks'

import {
  addRecord,
  createKeyring,
  decodeKeyring,
  encodeKeyring,
  type Keyring,
  matchSealKey,
  openKeyring,
  type OpenKeyring,
  type SealMember,
} from '@sealwright/keyring'
import { Secret } from '@sealwright/secret'

import { beginCeremony, next } from './ceremony.ts'
import { createShareSet } from './create-share-set.ts'
import { rehearse } from './rehearsal.ts'
import { shamirRemoteMember, shamirSealMember } from './seal-member.ts'
import { readShareSet } from './share-set.ts'
import { encodeShare, parseShare } from './share-text.ts'
import { bytesOf, signal } from './testing/samples.ts'

/** A seal that only makes the first record: nothing here opens by it. */
const elsewhere: SealMember = {
  sealType: 'transit',
  method: 'transit',
  memberId: new Uint8Array(16).fill(1),
  sealKek: () => Promise.resolve(Uint8Array.of(1)),
  unsealKek: () => Promise.reject(new Error('it is out of reach')),
}

const surroundings = { now: () => 1_700_000_000_000, randomBytes, signal }

async function added(keyring: Keyring, sealKey: Secret) {
  const sealKeys = matchSealKey({ keyring, sealKey })
  // README
  const { wrappingKey, memberId, data, shares } = createShareSet({
    clusterId: keyring.clusterId,
    threshold: 2,
    shares: 3,
    randomBytes,
  })
  const member = shamirRemoteMember({ wrappingKey, memberId })
  const record = { sealName: 'people', label: 'board', method: member.method, member, wrappingKey, data }
  const withShares = await addRecord({ ...record, ...surroundings, keyring, sealKeys })
  const texts = shares.map(share => encodeShare(share))
  for (const { value } of shares) value.wipe()
  // end
  return { keyring: decodeKeyring(encodeKeyring(withShares)), texts }
}

async function opened(keyring: Keyring, typedTexts: readonly Uint8Array[]): Promise<OpenKeyring | undefined> {
  // README
  const [listed] = keyring.members.filter(({ wrappingKey }) => wrappingKey.byteLength > 0)
  if (listed === undefined) return undefined
  const set = readShareSet({ clusterId: keyring.clusterId, member: listed })
  let ceremony = beginCeremony({ set, nonce: randomBytes(16).toString('hex') })
  for (const text of typedTexts) {
    ceremony = next(ceremony, { kind: 'share', nonce: ceremony.nonce, share: parseShare(text) })
    text.fill(0)
  }
  if (ceremony.kind !== 'complete') return undefined
  const { privateKey } = ceremony
  try {
    const member = shamirSealMember({ privateKey })
    return await openKeyring({ keyring, sealId: set.sealId, member, signal })
  } finally {
    privateKey.wipe()
  }
  // end
}

describe('the examples in the README', () => {
  it('are the code of this test', () => {
    const { shown, own } = readReadmeExamples(import.meta.filename)
    expect(shown).toEqual(own)
    expect(shown).toHaveLength(2)
  })

  it('add shares to a keyring, and open it by any two of the three', async () => {
    const key = Uint8Array.from(randomBytes(32))
    const sealKey = () => new Secret(Uint8Array.from(key))
    const record = { sealName: 'upstream', member: elsewhere, method: elsewhere.method, label: 'transit' }
    const { keyring, texts } = await added(
      await createKeyring({ ...record, ...surroundings, sealKey: sealKey() }),
      sealKey(),
    )
    const typed = (positions: readonly number[]) =>
      texts.filter((_text, position) => positions.includes(position)).map(bytesOf)
    for (const quorum of [
      [0, 1],
      [0, 2],
      [1, 2],
    ]) {
      expect((await opened(keyring, typed(quorum)))?.current.number).toBe(1)
    }
    expect(await opened(keyring, typed([1]))).toBeUndefined()
  })

  it('leave a keyring whose shares can be rehearsed', async () => {
    const sealKey = new Secret(randomBytes(32))
    const record = { sealName: 'upstream', member: elsewhere, method: elsewhere.method, label: 'transit' }
    const first = await createKeyring({ ...record, ...surroundings, sealKey: sealKey.clone() })
    const { keyring, texts } = await added(first, sealKey)
    const [member] = keyring.members.filter(({ wrappingKey }) => wrappingKey.byteLength > 0)
    if (member === undefined) throw new Error('no share set is listed')
    const set = readShareSet({ clusterId: keyring.clusterId, member })
    expect(rehearse({ set, shares: texts.map(text => text.reveal(parseShare)) }).outcome).toEqual({ kind: 'proven' })
  })
})
