import { randomBytes } from 'node:crypto'
import { readReadmeExamples } from '@sealwright/testing-checks'

import { type Secret } from '@sealwright/secret'

import { activateGeneration, addGeneration } from './add-generation.ts'
import { decodeKeyring, encodeKeyring } from './codec.ts'
import { createKeyring } from './create-keyring.ts'
import { findSeal, type Keyring } from './keyring.ts'
import { openKeyring, OpenKeyring } from './open-keyring.ts'
import { type SealMember } from './seal.ts'
import { unwrapSealKeys } from './seal-keys.ts'
import { fakeMember } from './testing/fake-member.ts'
import { begun, sealIdOf, sealKeyNamed, signal } from './testing/samples.ts'

async function example(sealKey: Secret, member: SealMember, plaintext: Uint8Array): Promise<Uint8Array | undefined> {
  // README
  const record = { sealName: 'tpm', member, method: 'tpm-sealed', label: 'node-1' } as const
  const created = await createKeyring({ ...record, sealKey, now: Date.now, randomBytes, signal })
  const bytes = encodeKeyring(created)

  const keyring = decodeKeyring(bytes)
  const seal = findSeal(keyring, 'tpm')
  if (seal === undefined) return undefined
  const open = await openKeyring({ keyring, sealId: seal.sealId, member, signal })
  const blob = open.encryptBlob({ plaintext, aad: new Uint8Array(), randomBytes })
  return open.decryptBlob({ blob, aad: new Uint8Array() })
  // end
}

async function rotation(keyring: Keyring, member: SealMember): Promise<OpenKeyring> {
  const sealId = sealIdOf(keyring)
  const open = await openKeyring({ keyring, sealId, member, signal })
  // README
  const sealKeys = await unwrapSealKeys({ keyring, sealId, member, signal })
  const { generation, sealKey, ...added } = addGeneration({ keyring, sealKeys, step: 'chained', randomBytes })
  const held = sealKeys.with(generation.id, sealKey)
  try {
    const rotated = activateGeneration({ keyring: added.keyring, sealKeys: held, id: generation.id })
    return open.mergedWith(OpenKeyring.from(rotated, held))
  } finally {
    held.wipe()
  }
  // end
}

describe('the examples in the README', () => {
  it('are the code of this test', () => {
    const { shown, own } = readReadmeExamples(import.meta.filename)
    expect(shown).toEqual(own)
    expect(shown).toHaveLength(2)
  })

  it('encrypt and decrypt', async () => {
    expect(await example(sealKeyNamed('k'), fakeMember('a'), Uint8Array.of(1, 2))).toEqual(Uint8Array.of(1, 2))
  })

  it('rotate', async () => {
    const member = fakeMember('a')
    const open = await rotation((await begun(member)).keyring, member)
    expect(open.current.number).toBe(2)
    expect(open.keyIds).toHaveLength(2)
  })
})
