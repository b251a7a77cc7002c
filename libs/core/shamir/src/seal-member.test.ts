import { randomBytes } from 'node:crypto'

import { readVectors, toHex } from '@sealwright/testing-vectors'

import { shamirMemberId, shamirRemoteMember, shamirSealMember } from './seal-member.ts'
import { parseSealedKek, SEALED_KEK_BYTES } from './sealed-kek.ts'
import { bytesOf, codeOf, flips, secretOf, signal } from './testing/samples.ts'
import { xWingPublicKey } from './x-wing.ts'

const seed = Uint8Array.from(randomBytes(32))
const privateKey = secretOf(seed)
const wrappingKey = xWingPublicKey(privateKey)
const memberId = shamirMemberId(wrappingKey)
const remote = shamirRemoteMember({ wrappingKey, memberId })
const member = shamirSealMember({ privateKey })
const how = { signal, method: 'shamir-hybrid' } as const

describe('the vectors', () => {
  const fields = { privateKey: 'hex', wrappingKey: 'hex', memberId: 'hex', kek: 'hex', sealedKek: 'hex' } as const
  it.each(readVectors('shamir-sealed-kek', 'open.json', fields))('open: $name', async vector => {
    const opening = shamirSealMember({ privateKey: secretOf(vector.privateKey) })
    expect(toHex(opening.memberId)).toBe(toHex(vector.memberId))
    expect(toHex(shamirMemberId(vector.wrappingKey))).toBe(toHex(vector.memberId))
    expect(toHex(bytesOf(await opening.unsealKek(vector.sealedKek, how)))).toBe(toHex(vector.kek))
  })

  const refused = { privateKey: 'hex', sealedKek: 'hex', code: 'text' } as const
  it.each(readVectors('shamir-sealed-kek', 'not-opened.json', refused))('are refused: $name', async vector => {
    const opening = shamirSealMember({ privateKey: secretOf(vector.privateKey) })
    await expect(opening.unsealKek(vector.sealedKek, how)).rejects.toMatchObject({ code: vector.code })
  })
})

describe('a sealed KEK', () => {
  it('is made by the public key alone, and opens by the private one', async () => {
    const kek = secretOf(randomBytes(32))
    const sealed = await remote.sealKek(kek, { signal })
    expect(sealed).toHaveLength(SEALED_KEK_BYTES)
    expect((await member.unsealKek(sealed, how)).equals(kek)).toBe(true)
    expect((await member.unsealKek(await member.sealKek(kek, { signal }), how)).equals(kek)).toBe(true)
  })

  it('is refused with any bit flipped, before or by the opening', async () => {
    const sealed = await remote.sealKek(secretOf(randomBytes(32)), { signal })
    for (const { flipped, offset } of flips(sealed)) {
      const codes =
        offset < 4
          ? ['SHAMIR_SEALED_KEK_MALFORMED']
          : offset < 5
            ? ['SHAMIR_SEALED_KEK_MALFORMED', 'SHAMIR_SEALED_KEK_UNSUPPORTED']
            : [offset < 21 ? 'SHAMIR_SEALED_KEK_OTHER_MEMBER' : 'SHAMIR_SEALED_KEK_AUTH_FAILED']
      const code = await member.unsealKek(flipped, how).then(
        () => 'opened',
        (error: unknown) => (error as { code: string }).code,
      )
      expect([offset, codes.includes(code)]).toEqual([offset, true])
    }
  })

  it('is refused cut off anywhere, and with a byte left over', async () => {
    const sealed = await remote.sealKek(secretOf(randomBytes(32)), { signal })
    for (let length = 0; length < sealed.byteLength; length += 1) {
      expect(codeOf(() => parseSealedKek(sealed.subarray(0, length)))).toBe('SHAMIR_SEALED_KEK_MALFORMED')
    }
    expect(codeOf(() => parseSealedKek(Uint8Array.from([...sealed, 0])))).toBe('SHAMIR_SEALED_KEK_MALFORMED')
  })
})

describe('a member', () => {
  it('refuses a record that says another method', async () => {
    const sealed = await remote.sealKek(secretOf(randomBytes(32)), { signal })
    await expect(member.unsealKek(sealed, { signal, method: 'transit' })).rejects.toMatchObject({
      code: 'SHAMIR_METHOD_MISMATCH',
    })
  })

  it('refuses a wrapping key that is not that of its id, or none', () => {
    const otherId = shamirMemberId(xWingPublicKey(secretOf(randomBytes(32))))
    expect(codeOf(() => shamirRemoteMember({ wrappingKey, memberId: otherId }))).toBe('SHAMIR_WRAPPING_KEY_INVALID')
    expect(codeOf(() => shamirMemberId(wrappingKey.subarray(1)))).toBe('SHAMIR_WRAPPING_KEY_INVALID')
  })

  it('refuses a wrapping key that has the right length and is none, and keeps what OpenSSL said', async () => {
    const noKey = new Uint8Array(1216)
    const useless = shamirRemoteMember({ wrappingKey: noKey, memberId: shamirMemberId(noKey) })
    await expect(useless.sealKek(secretOf(randomBytes(32)), { signal })).rejects.toMatchObject({
      code: 'SHAMIR_WRAPPING_KEY_INVALID',
      cause: expect.anything() as unknown,
    })
  })

  it('refuses a KEK or a private key of another length', async () => {
    await expect(remote.sealKek(secretOf(randomBytes(31)), { signal })).rejects.toMatchObject({
      code: 'SHAMIR_INPUT_INVALID',
    })
    expect(codeOf(() => shamirSealMember({ privateKey: secretOf(randomBytes(33)) }))).toBe('SHAMIR_INPUT_INVALID')
  })

  it('does nothing once it is cancelled, and says why', async () => {
    const reason = new Error('the operator went away')
    const cancelled = { ...how, signal: AbortSignal.abort(reason) }
    const kek = secretOf(randomBytes(32))
    await expect(remote.sealKek(kek, cancelled)).rejects.toMatchObject({ code: 'SHAMIR_CANCELLED', cause: reason })
    await expect(member.unsealKek(new Uint8Array(), cancelled)).rejects.toMatchObject({ code: 'SHAMIR_CANCELLED' })
  })

  it('opens nothing with a key that was wiped', async () => {
    const key = secretOf(seed)
    const wiped = shamirSealMember({ privateKey: key })
    key.wipe()
    const sealed = await remote.sealKek(secretOf(randomBytes(32)), { signal })
    await expect(wiped.unsealKek(sealed, how)).rejects.toThrow('this secret was wiped')
  })
})
