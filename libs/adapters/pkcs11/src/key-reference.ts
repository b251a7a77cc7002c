import { createHash, createPublicKey, type KeyObject } from 'node:crypto'
import { type KeyFacts, type TokenFacts } from './channel/facts.ts'
import { join, sized, text } from './fields.ts'
import { Pkcs11Error } from './errors.ts'
import { MIN_RSA_BITS } from './choose.ts'

/** Length of a key reference in bytes: SHA-256. */
export const KEY_REFERENCE_BYTES = 32
/** Length of a member id in bytes. */
const MEMBER_ID_BYTES = 16
/** A CKA_ID of so many bytes was drawn at random; a shorter one was counted or typed by somebody. */
const UNIQUE_ID_BYTES = 16

const RSA_DOMAIN = 'sealwright pkcs11 rsa key v1'
const AES_DOMAIN = 'sealwright pkcs11 aes key v1'
const AES_ON_TOKEN_DOMAIN = 'sealwright pkcs11 aes key on token v1'

/** The member that a key is: the first 16 bytes of its reference. */
export function pkcs11MemberId(keyReference: Uint8Array): Uint8Array {
  return keyReference.slice(0, MEMBER_ID_BYTES)
}

/** Which RSA key: a hash of its SPKI, wherever it lies. */
export function rsaKeyReference(spki: Uint8Array): Uint8Array {
  return hash(RSA_DOMAIN, spki)
}

/**
 * Which AES key. There is nothing public in it that could be hashed.
 *
 * A CKA_ID of 16 bytes or more stands for the key, on every token that holds a copy. A shorter one, such as `01`, is found on
 * many tokens with different keys: it is taken together with the token's serial number and the key's label, and then neither the label nor
 * the token may change.
 */
export function aesKeyReference({ id, label }: Pick<KeyFacts, 'id' | 'label'>, token: TokenFacts): Uint8Array {
  if (id.byteLength >= UNIQUE_ID_BYTES) return hash(AES_DOMAIN, id)
  const encoder = new TextEncoder()
  return hash(AES_ON_TOKEN_DOMAIN, encoder.encode(token.serialNumber), id, encoder.encode(label))
}

/** SHA-256 over the domain and the fields, each as length (2) ‖ bytes. */
function hash(domain: string, ...fields: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(
    createHash('sha256')
      .update(join([text(domain), fields.map(sized)]))
      .digest(),
  )
}

/** The public key in DER (SubjectPublicKeyInfo) from what the token tells of a key pair. */
export function spkiOf({ modulus, publicExponent }: KeyFacts): Uint8Array {
  if (publicExponent.byteLength === 0) {
    throw new Pkcs11Error('PKCS11_KEY_WRONG_TYPE', 'the token tells no public exponent for the key: name another key')
  }
  const jwk = { kty: 'RSA', n: base64url(modulus), e: base64url(publicExponent) }
  const key = createPublicKey({ key: jwk, format: 'jwk' })
  return new Uint8Array(key.export({ type: 'spki', format: 'der' }))
}

/**
 * The public key of an RSA member.
 *
 * @throws {@link Pkcs11Error} `PKCS11_INVALID_ARGUMENT` if it is none, or of less than 2,048 bits.
 */
export function readSpki(spki: Uint8Array): KeyObject {
  const key = parseSpki(spki)
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0
  if (key.asymmetricKeyType !== 'rsa' || bits < MIN_RSA_BITS) {
    throw new Pkcs11Error('PKCS11_INVALID_ARGUMENT', `the public key is no RSA key of at least ${MIN_RSA_BITS} bits`)
  }
  return key
}

function parseSpki(spki: Uint8Array): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  } catch (cause) {
    throw new Pkcs11Error('PKCS11_INVALID_ARGUMENT', 'the public key is no SubjectPublicKeyInfo', { cause })
  }
}

/** JWK knows no leading zeros, which some tokens put before a modulus. */
function base64url(number: Uint8Array): string {
  const first = number.findIndex(byte => byte !== 0)
  return Buffer.from(number.subarray(Math.max(first, 0))).toString('base64url')
}
