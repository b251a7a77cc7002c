import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { type Secret } from '@sealwright/secret'

import { decodeKeyring, encodeKeyring } from './codec.ts'
import { createKeyring } from './create-keyring.ts'
import { findSeal } from './keyring.ts'
import { openKeyring } from './open-keyring.ts'
import { type SealMember } from './seal.ts'
import { fakeMember } from './testing/fake-member.ts'
import { sealKeyNamed, signal } from './testing/samples.ts'

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

describe('the example in the README', () => {
  it('is the code of this test', () => {
    const [, shown] = /```ts\n(.*?)```/s.exec(readFileSync(join(import.meta.dirname, '../README.md'), 'utf8')) ?? []
    const [, own] = /^ {2}\/\/ README\n(.*?)^ {2}\/\/ end$/ms.exec(readFileSync(import.meta.filename, 'utf8')) ?? []
    expect(shown).toBe(own?.replace(/^ {2}/gm, ''))
  })

  it('works', async () => {
    expect(await example(sealKeyNamed('k'), fakeMember('a'), Uint8Array.of(1, 2))).toEqual(Uint8Array.of(1, 2))
  })
})
