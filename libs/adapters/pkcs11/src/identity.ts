import { type RecordMethod } from '@sealwright/keyring'
import { type Pkcs11Access } from './access.ts'
import { gcmSelfTest } from './aes-gcm.ts'
import { type OaepHash } from './oaep-hash.ts'
import { aesKeyReference, pkcs11MemberId, readSpki, rsaKeyReference, spkiOf } from './key-reference.ts'
import { chooseOaepHash, oaepSelfTest } from './rsa-oaep.ts'
import { type CallOptions, type OpenKey, withKey } from './token-operation.ts'

/** A key that a member is, as a record or an enrolment names it. */
export type ExpectedKey =
  | { readonly method: 'pkcs11-aes-gcm'; readonly keyReference: Uint8Array }
  | {
      readonly method: 'pkcs11-rsa-oaep'
      readonly keyReference: Uint8Array
      /** SubjectPublicKeyInfo in DER. With it sealing needs no token. */
      readonly spki?: Uint8Array
      readonly oaepHash: OaepHash
    }

/** Who a key is, and what may be wrong with it. Nothing in it is secret; another node needs it to seal for an RSA member. */
export type Pkcs11Identity = ExpectedKey & {
  /** 16 bytes. */
  readonly memberId: Uint8Array
  readonly method: RecordMethod
  readonly keyBits: number
  /** CKA_ID, may be empty. */
  readonly keyId: Uint8Array
  readonly keyLabel: string
  readonly token: {
    readonly label: string
    readonly manufacturer: string
    readonly model: string
    readonly serialNumber: string
  }
  readonly moduleDescription: string
  /** What an operator should know: the key can be read out, or could have been. Empty if all is well. */
  readonly warnings: readonly string[]
}

/**
 * Reads which key there is, and shows that it works: a self-test on the token. A first meeting: nothing is compared.
 *
 * @throws {@link Pkcs11Error}.
 */
export async function readPkcs11Identity(access: Pkcs11Access, options: CallOptions): Promise<Pkcs11Identity> {
  return await withKey(access, options, async open => {
    const expected = expectedKeyOn(open, access)
    if (expected.method === 'pkcs11-aes-gcm') await gcmSelfTest(open, access.randomBytes)
    const { key, token } = open
    return {
      ...(expected.method === 'pkcs11-rsa-oaep' ? await withProvenHash(open, access, expected) : expected),
      memberId: pkcs11MemberId(expected.keyReference),
      keyBits: key.bits,
      keyId: key.id,
      keyLabel: key.label,
      token: {
        label: token.label,
        manufacturer: token.manufacturer,
        model: token.model,
        serialNumber: token.serialNumber,
      },
      moduleDescription: open.moduleDescription,
      warnings: warningsOf(open),
    }
  })
}

/** The key that was found, without any proof. */
export function expectedKeyOn({ key, token }: OpenKey, { mechanism, oaepHash }: Pkcs11Access): FoundKey {
  if (mechanism === 'aes-gcm') return { method: 'pkcs11-aes-gcm', keyReference: aesKeyReference(key, token) }
  const spki = spkiOf(key)
  return { method: 'pkcs11-rsa-oaep', keyReference: rsaKeyReference(spki), spki, oaepHash }
}

type FoundKey =
  | { readonly method: 'pkcs11-aes-gcm'; readonly keyReference: Uint8Array }
  | {
      readonly method: 'pkcs11-rsa-oaep'
      readonly keyReference: Uint8Array
      readonly spki: Uint8Array
      readonly oaepHash: OaepHash | undefined
    }

async function withProvenHash(
  open: OpenKey,
  { oaepHash }: Pkcs11Access,
  { method, keyReference, spki }: Extract<FoundKey, { method: 'pkcs11-rsa-oaep' }>,
): Promise<ExpectedKey> {
  const publicKey = readSpki(spki)
  if (oaepHash === undefined) {
    return { method, keyReference, spki, oaepHash: await chooseOaepHash(open, publicKey) }
  }
  await oaepSelfTest(open, publicKey, oaepHash)
  return { method, keyReference, spki, oaepHash }
}

function warningsOf({ key }: OpenKey): readonly string[] {
  return [
    key.isSensitive === false ? 'the key is not sensitive: whoever logs in can read it' : undefined,
    key.isExtractable === true
      ? 'the key is extractable: whoever logs in can take it out, wrapped by another key'
      : undefined,
    key.isLocal === false ? 'the key was not made on the token: there may be copies of it elsewhere' : undefined,
    key.wasNeverExtractable === false && key.isExtractable === false ? 'the key was extractable once' : undefined,
    key.wasAlwaysSensitive === false && key.isSensitive === true ? 'the key was not sensitive once' : undefined,
    key.kind === 'rsa' ? 'RSA does not outlast quantum computers: prefer aes-gcm where the token has it' : undefined,
  ].filter(warning => warning !== undefined)
}
