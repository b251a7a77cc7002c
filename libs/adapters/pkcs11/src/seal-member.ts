import { type KeyObject } from 'node:crypto'
import { KEY_BYTES, type SealMember } from '@sealwright/keyring'
import { Secret } from '@sealwright/secret'
import { type Pkcs11Access } from './access.ts'
import { explainRefusal, gcmAssociatedData, gcmDecrypt, gcmEncrypt, gcmSelfTest, isRefusal } from './aes-gcm.ts'
import { type OaepHash } from './oaep-hash.ts'
import { Pkcs11Error } from './errors.ts'
import { type ExpectedKey, expectedKeyOn } from './identity.ts'
import { pkcs11MemberId, readSpki, rsaKeyReference, spkiOf } from './key-reference.ts'
import { oaepDecrypt, oaepSeal, oaepSelfTest } from './rsa-oaep.ts'
import { assertMadeBy, decodeSealedKek, encodeSealedKek, type SealedKek } from './sealed-kek.ts'
import { type CallOptions, type OpenKey, withKey } from './token-operation.ts'

/** A key on a token as a seal member: where it is, and which one it must be. */
export type Pkcs11SealMemberOptions = Pkcs11Access & {
  /** From `readPkcs11Identity` at enrolment, or from {@link expectedKeyOf} a record of this member. */
  readonly expected: ExpectedKey
}

/**
 * Which key a sealed KEK is for, without asking any token: how an agent knows its member while the token is not there.
 *
 * @throws {@link Pkcs11Error} `PKCS11_BLOB_MALFORMED`.
 */
export function expectedKeyOf(sealedKek: Uint8Array): ExpectedKey {
  const decoded = decodeSealedKek(sealedKek)
  const { keyReference } = decoded
  return decoded.method === 'pkcs11-aes-gcm'
    ? { method: decoded.method, keyReference }
    : { method: decoded.method, keyReference, oaepHash: decoded.oaepHash }
}

/**
 * Makes a key on a token a member of a seal. Starts nothing and asks nobody: the token may be absent until something is opened, or
 * sealed on it.
 *
 * Its methods throw {@link Pkcs11Error}. A wrong PIN is never sent again here, nor should the caller try (`kind: 'operator'`).
 *
 * @throws {@link Pkcs11Error} `PKCS11_INVALID_ARGUMENT` if `mechanism` is not what `expected` was made for.
 */
export function pkcs11SealMember(options: Pkcs11SealMemberOptions): SealMember {
  const { expected } = options
  if (expected.method !== `pkcs11-${options.mechanism}`) {
    throw new Pkcs11Error(
      'PKCS11_INVALID_ARGUMENT',
      `the key of this member is used with ${expected.method}, and ${options.mechanism} is configured: set mechanism, or make a new seal`,
    )
  }
  const memberId = pkcs11MemberId(expected.keyReference)
  return {
    sealType: 'pkcs11',
    method: expected.method,
    memberId,
    sealKek: async (kek, callOptions) => {
      assertKekLength(kek)
      if (expected.method === 'pkcs11-aes-gcm') return await sealOnToken(options, memberId, kek, callOptions)
      const spki = expected.spki ?? (await readExpectedSpki(options, callOptions))
      return sealByPublicKey(readSpki(spki), expected, kek)
    },
    unsealKek: async (sealedKek, { signal, method }) => {
      const decoded = decodeSealedKek(sealedKek)
      assertMadeBy(method, decoded)
      assertFor(expected, decoded)
      return await withKey(options, { signal }, async open => {
        assertPresent(open, options)
        return await openOnToken(open, options, memberId, decoded)
      })
    },
  }
}

/** What another node needs to seal for an RSA member. */
export type RemoteMemberOptions = {
  /** SubjectPublicKeyInfo in DER. */
  readonly spki: Uint8Array
  readonly memberId: Uint8Array
  readonly oaepHash: OaepHash
}

/**
 * An RSA member that only seals, by its public key, with no token there.
 *
 * @throws {@link Pkcs11Error} `PKCS11_INVALID_ARGUMENT` if the key is none of RSA with at least 2,048 bits, or `memberId` is not its own.
 */
export function pkcs11RemoteMember({
  spki,
  memberId,
  oaepHash,
}: RemoteMemberOptions): Pick<SealMember, 'sealType' | 'memberId' | 'method' | 'sealKek'> {
  const publicKey = readSpki(spki)
  const keyReference = rsaKeyReference(spki)
  if (Buffer.compare(pkcs11MemberId(keyReference), memberId) !== 0) {
    throw new Pkcs11Error('PKCS11_INVALID_ARGUMENT', 'the public key is not that of this member')
  }
  return {
    sealType: 'pkcs11',
    method: 'pkcs11-rsa-oaep',
    memberId: pkcs11MemberId(keyReference),
    sealKek: (kek, { signal }) => {
      assertKekLength(kek)
      if (signal.aborted)
        throw new Pkcs11Error('PKCS11_CANCELLED', 'cancelled before sealing', { cause: signal.reason })
      return Promise.resolve(sealByPublicKey(publicKey, { keyReference, oaepHash }, kek))
    },
  }
}

function sealByPublicKey(
  publicKey: KeyObject,
  { keyReference, oaepHash }: { readonly keyReference: Uint8Array; readonly oaepHash: OaepHash },
  kek: Secret,
): Uint8Array {
  const ciphertext = oaepSeal(publicKey, kek, oaepHash)
  return encodeSealedKek({ method: 'pkcs11-rsa-oaep', keyReference, oaepHash, ciphertext })
}

/** Encrypts on the token, after a self-test, and opens it back before it is given out. */
async function sealOnToken(
  options: Pkcs11SealMemberOptions,
  memberId: Uint8Array,
  kek: Secret,
  callOptions: CallOptions,
): Promise<Uint8Array> {
  const { keyReference } = options.expected
  return await withKey(options, callOptions, async open => {
    assertPresent(open, options)
    const { randomBytes } = options
    const source = await gcmSelfTest(open, randomBytes)
    const aad = gcmAssociatedData(memberId)
    const sealed = await kek.reveal(bytes => gcmEncrypt(open, bytes, aad, { source, randomBytes }))
    const opened = new Secret(await gcmDecrypt(open, sealed, aad))
    const isSame = opened.equals(kek)
    opened.wipe()
    if (!isSame) {
      throw new Pkcs11Error(
        'PKCS11_TOKEN_BROKEN',
        'the token cannot be relied on: it opens something else than it sealed',
      )
    }
    return encodeSealedKek({ method: 'pkcs11-aes-gcm', keyReference, ...sealed })
  })
}

async function openOnToken(
  open: OpenKey,
  options: Pkcs11SealMemberOptions,
  memberId: Uint8Array,
  sealed: SealedKek,
): Promise<Secret> {
  const isGcm = sealed.method === 'pkcs11-aes-gcm'
  try {
    const plaintext = isGcm
      ? await gcmDecrypt(open, sealed, gcmAssociatedData(memberId))
      : await oaepDecrypt(open, sealed.ciphertext, sealed.oaepHash)
    return kekOf(plaintext)
  } catch (error) {
    if (!isRefusal(error) || !(error instanceof Pkcs11Error)) throw error
    return await explainRefusal(error, () =>
      isGcm ? gcmSelfTest(open, options.randomBytes) : oaepSelfTest(open, readSpki(spkiOf(open.key)), sealed.oaepHash),
    )
  }
}

function kekOf(plaintext: Uint8Array): Secret {
  const kek = new Secret(plaintext)
  if (kek.byteLength === KEY_BYTES) return kek
  kek.wipe()
  throw new Pkcs11Error(
    'PKCS11_CIPHERTEXT_REFUSED',
    `the token opened ${kek.byteLength} bytes where a key has ${KEY_BYTES}: the record was changed; restore it from a copy`,
  )
}

/** The record is for this member. */
function assertFor(expected: ExpectedKey, sealed: SealedKek): void {
  if (expected.method === sealed.method && Buffer.compare(expected.keyReference, sealed.keyReference) === 0) return
  throw new Pkcs11Error('PKCS11_OTHER_KEY', 'this sealed key is for another key than that of this member')
}

/** The key that the configuration names is this member. */
function assertPresent(open: OpenKey, options: Pkcs11SealMemberOptions): void {
  if (Buffer.compare(expectedKeyOn(open, options).keyReference, options.expected.keyReference) === 0) return
  throw new Pkcs11Error(
    'PKCS11_OTHER_KEY',
    'the key that the configuration names on the token is another one than that of this member: name the right one, or put the ' +
      'right token in',
  )
}

async function readExpectedSpki(options: Pkcs11SealMemberOptions, callOptions: CallOptions): Promise<Uint8Array> {
  return await withKey(options, callOptions, open => {
    assertPresent(open, options)
    return Promise.resolve(spkiOf(open.key))
  })
}

function assertKekLength({ byteLength }: Secret): void {
  if (byteLength === KEY_BYTES) return
  throw new Pkcs11Error('PKCS11_INVALID_ARGUMENT', `a key-encryption key has ${KEY_BYTES} bytes, not ${byteLength}`)
}
