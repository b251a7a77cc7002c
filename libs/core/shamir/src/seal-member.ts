import { ID_BYTES, KEY_BYTES, type SealMember } from '@sealwright/keyring'
import { type Secret } from '@sealwright/secret'

import { hex, lengthPrefixed, sameBytes, textBytes } from '@sealwright/bytes'
import { hashOf } from './hash.ts'
import { hpkeOpen, hpkeSeal } from './hpke.ts'
import { encodeSealedKek, parseSealedKek } from './sealed-kek.ts'
import { notAuthentic, ShamirError, wrappingKeyInvalid } from './shamir-error.ts'
import { X_WING_PUBLIC_KEY_BYTES, X_WING_SEED_BYTES, xWingPublicKey } from './x-wing.ts'

const MEMBER_ID_DOMAIN = textBytes('sealwright shamir v1 member id')
const SEALED_KEK_DOMAIN = textBytes('sealwright shamir v1 sealed kek')

/** What seals for people without any of their shares. */
export type ShamirRemoteMember = Pick<SealMember, 'sealType' | 'memberId' | 'method' | 'sealKek'>

/**
 * The id of the member that a key pair is, 16 bytes.
 *
 * @param wrappingKey - 1,216 bytes.
 * @throws {@link ShamirError} `SHAMIR_WRAPPING_KEY_INVALID` for another length.
 * @see docs/formats/shamir-sealed-kek.md §2
 */
export function shamirMemberId(wrappingKey: Uint8Array): Uint8Array {
  if (wrappingKey.byteLength !== X_WING_PUBLIC_KEY_BYTES) {
    throw wrappingKeyInvalid(`${wrappingKey.byteLength} bytes, not ${X_WING_PUBLIC_KEY_BYTES}`)
  }
  return hashOf([MEMBER_ID_DOMAIN, wrappingKey]).slice(0, ID_BYTES)
}

/**
 * The public half of a set of shares, as it stands in the keyring: it seals, on any node, and nobody has to bring a share.
 *
 * Its `sealKek` rejects with {@link ShamirError}: `SHAMIR_WRAPPING_KEY_INVALID`, `SHAMIR_INPUT_INVALID` for a KEK that has
 * not 32 bytes, `SHAMIR_CANCELLED`.
 *
 * @param input.wrappingKey - 1,216 bytes.
 * @param input.memberId - as the keyring says it.
 * @throws {@link ShamirError} `SHAMIR_WRAPPING_KEY_INVALID` if the id is not that of the key.
 */
export function shamirRemoteMember(input: {
  readonly wrappingKey: Uint8Array
  readonly memberId: Uint8Array
}): ShamirRemoteMember {
  const { wrappingKey, memberId } = input
  if (!sameBytes(shamirMemberId(wrappingKey), memberId)) {
    throw wrappingKeyInvalid(`it does not belong to the member ${hex(memberId)}`)
  }
  return {
    sealType: 'shamir',
    method: 'shamir-hybrid',
    memberId,
    sealKek: (kek, { signal }) =>
      settled(() => {
        assertGoesOn(signal)
        if (kek.byteLength !== KEY_BYTES) {
          throw new ShamirError('SHAMIR_INPUT_INVALID', `KEK of ${kek.byteLength} bytes, not ${KEY_BYTES}`)
        }
        return encodeSealedKek({
          memberId,
          ...hpkeSeal({ publicKey: wrappingKey, info: infoFor(memberId), plaintext: kek }),
        })
      }),
  }
}

/**
 * A set of shares, once a ceremony has rebuilt its private key: it opens as well.
 *
 * Its `unsealKek` rejects with {@link ShamirError}: `SHAMIR_METHOD_MISMATCH`, `SHAMIR_SEALED_KEK_MALFORMED`, `…_UNSUPPORTED`,
 * `…_OTHER_MEMBER`, `…_AUTH_FAILED`, `SHAMIR_CANCELLED`.
 *
 * @param input.privateKey - 32 bytes; stays the caller's, who wipes it as soon as all is opened. Later calls throw then.
 * @throws {@link ShamirError} `SHAMIR_INPUT_INVALID` for another length.
 */
export function shamirSealMember(input: { readonly privateKey: Secret }): SealMember {
  const { privateKey } = input
  if (privateKey.byteLength !== X_WING_SEED_BYTES) {
    throw new ShamirError('SHAMIR_INPUT_INVALID', `private key of ${privateKey.byteLength} bytes`)
  }
  const wrappingKey = xWingPublicKey(privateKey)
  const memberId = shamirMemberId(wrappingKey)
  return {
    ...shamirRemoteMember({ wrappingKey, memberId }),
    unsealKek: (sealedKek, { signal, method }) =>
      settled(() => {
        assertGoesOn(signal)
        if (method !== 'shamir-hybrid') {
          throw new ShamirError(
            'SHAMIR_METHOD_MISMATCH',
            `the record says ${method}, but what it holds is sealed for shares: it was changed; restore it from a copy`,
          )
        }
        const { memberId: sealedFor, enc, ciphertext } = parseSealedKek(sealedKek)
        if (!sameBytes(sealedFor, memberId)) {
          throw new ShamirError(
            'SHAMIR_SEALED_KEK_OTHER_MEMBER',
            `sealed for the share set ${hex(sealedFor)}, not for ${hex(memberId)}`,
          )
        }
        const kek = hpkeOpen({ privateKey, info: infoFor(memberId), enc, ciphertext })
        if (kek === null) throw notAuthentic()
        return kek
      }),
  }
}

/** docs/formats/shamir-sealed-kek.md §3: what was sealed for one member opens as nothing else. */
function infoFor(memberId: Uint8Array): Uint8Array {
  return lengthPrefixed([SEALED_KEK_DOMAIN, memberId])
}

/** Nothing here waits for anything; what is thrown must still come as a rejection. */
function settled<T>(make: () => T): Promise<T> {
  return new Promise(resolve => {
    resolve(make())
  })
}

function assertGoesOn(signal: AbortSignal): void {
  if (signal.aborted) throw new ShamirError('SHAMIR_CANCELLED', 'cancelled by the caller', { cause: signal.reason })
}
