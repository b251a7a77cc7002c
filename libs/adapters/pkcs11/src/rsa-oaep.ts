import { constants, type KeyObject, publicEncrypt } from 'node:crypto'
import { type Secret } from '@sealwright/secret'
import { bareCkrOf, Pkcs11Error, withMeaning } from './errors.ts'
import { UNSUPPORTED } from './ckr.ts'
import { type OaepHash } from './oaep-hash.ts'
import { type OpenKey } from './token-operation.ts'

/** In order of preference. SHA-1 is sound in OAEP, which needs no resistance to collisions; some tokens have nothing else. */
const HASHES_BEST_FIRST: readonly OaepHash[] = ['sha256', 'sha384', 'sha512', 'sha1']

/** The hash for a member of which nobody has said another one. */
export const DEFAULT_OAEP_HASH: OaepHash = 'sha256'

/** Known to everybody: it only shows that the token gives back what it was given. */
const KNOWN_ANSWER = Uint8Array.from({ length: 32 }, (_, index) => index)

/** Encrypts by the public key alone, without a token (RFC 8017, clause 7.1.1; no label, MGF1 with the same hash). */
export function oaepEncrypt(publicKey: KeyObject, plaintext: Uint8Array, oaepHash: OaepHash): Uint8Array {
  return new Uint8Array(
    publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash }, plaintext),
  )
}

/** Seals a KEK by the public key alone. */
export function oaepSeal(publicKey: KeyObject, kek: Secret, oaepHash: OaepHash): Uint8Array {
  return kek.reveal(bytes => oaepEncrypt(publicKey, bytes, oaepHash))
}

/** Decrypts on the token. The caller wipes the result. */
export async function oaepDecrypt(open: OpenKey, ciphertext: Uint8Array, hash: OaepHash): Promise<Uint8Array> {
  return await open.call('decrypt', {
    slot: open.token.slot,
    handle: open.key.handle,
    mechanism: { kind: 'rsa-oaep', hash },
    data: ciphertext,
  })
}

/**
 * Shows that the token opens what its public key has sealed.
 *
 * @throws {@link Pkcs11Error} `PKCS11_TOKEN_BROKEN`, and what the token answers.
 */
export async function oaepSelfTest(open: OpenKey, publicKey: KeyObject, hash: OaepHash): Promise<void> {
  const opened = await oaepDecrypt(open, oaepEncrypt(publicKey, KNOWN_ANSWER, hash), hash)
  if (Buffer.compare(opened, KNOWN_ANSWER) !== 0) {
    throw new Pkcs11Error(
      'PKCS11_TOKEN_BROKEN',
      'the token cannot be relied on: it opens something else than was sealed',
    )
  }
}

/**
 * The best hash that the token has, by trying.
 *
 * @throws {@link Pkcs11Error} `PKCS11_MECHANISM_UNSUPPORTED` if it has none.
 */
export async function chooseOaepHash(open: OpenKey, publicKey: KeyObject): Promise<OaepHash> {
  let last: unknown
  for (const hash of HASHES_BEST_FIRST) {
    try {
      await oaepSelfTest(open, publicKey, hash)
      return hash
    } catch (error) {
      if (!UNSUPPORTED.has(bareCkrOf(error) ?? -1)) throw error
      last = error
    }
  }
  if (!(last instanceof Pkcs11Error)) throw last
  throw withMeaning('PKCS11_MECHANISM_UNSUPPORTED', `the token has no RSA-OAEP that we know (${last.message})`, last)
}
