import { type FieldReader, list, type Part, sized, text, u32, u8 } from '../fields.ts'

/** What a module says about itself (C_GetInfo). */
export type ModuleFacts = {
  readonly manufacturer: string
  readonly description: string
  /** Of the library, such as `2.6`. */
  readonly version: string
}

/** A token in a slot (C_GetTokenInfo, C_GetMechanismInfo). Texts come without the spaces that fill them up. */
export type TokenFacts = {
  /** CK_SLOT_ID as it lies in memory: good in this process, until the module is loaded anew. */
  readonly slot: Uint8Array
  readonly label: string
  readonly manufacturer: string
  readonly model: string
  readonly serialNumber: string
  /** CKF_… */
  readonly flags: number
  /** Whether it decrypts with CKM_AES_GCM. */
  readonly hasAesGcm: boolean
  /** Whether it decrypts with CKM_RSA_PKCS_OAEP. */
  readonly hasRsaOaep: boolean
}

/** A key on a token. What the token does not tell is `undefined`. */
export type KeyFacts = {
  /** CK_OBJECT_HANDLE as it lies in memory: good in this process, until the module is loaded anew. */
  readonly handle: Uint8Array
  readonly kind: 'aes' | 'rsa' | 'other'
  /** CKA_ID, may be empty. */
  readonly id: Uint8Array
  /** CKA_LABEL, may be empty. */
  readonly label: string
  /** Of the key or the modulus; 0 if the token does not tell. */
  readonly bits: number
  /** Big-endian, of an RSA key. Empty otherwise. */
  readonly modulus: Uint8Array
  readonly publicExponent: Uint8Array
  readonly isSensitive: boolean | undefined
  readonly isExtractable: boolean | undefined
  readonly wasAlwaysSensitive: boolean | undefined
  readonly wasNeverExtractable: boolean | undefined
  /** Whether the token made it itself. */
  readonly isLocal: boolean | undefined
}

/** How wide a CK_ULONG is where we run, in bytes. */
export const HANDLE_BYTES = 8

/** Most entries of one list. */
export const MAX_LIST_ENTRIES = 64

const KINDS = ['aes', 'rsa', 'other'] as const

export function encodeModuleFacts(facts: ModuleFacts): Part {
  return [text(facts.manufacturer), text(facts.description), text(facts.version)]
}

export function readModuleFacts(reader: FieldReader): ModuleFacts {
  return { manufacturer: reader.text(), description: reader.text(), version: reader.text() }
}

export function encodeTokens(tokens: readonly TokenFacts[]): Part {
  return list(tokens, token => [
    token.slot,
    text(token.label),
    text(token.manufacturer),
    text(token.model),
    text(token.serialNumber),
    u32(token.flags),
    u8(Number(token.hasAesGcm)),
    u8(Number(token.hasRsaOaep)),
  ])
}

export function readTokens(reader: FieldReader): readonly TokenFacts[] {
  return reader.list(() => ({
    slot: Uint8Array.from(reader.bytes(HANDLE_BYTES)),
    label: reader.text(),
    manufacturer: reader.text(),
    model: reader.text(),
    serialNumber: reader.text(),
    flags: reader.u32(),
    hasAesGcm: reader.u8() === 1,
    hasRsaOaep: reader.u8() === 1,
  }))
}

export function encodeKeys(keys: readonly KeyFacts[]): Part {
  return list(keys, key => [
    key.handle,
    u8(KINDS.indexOf(key.kind)),
    sized(key.id),
    text(key.label),
    u32(key.bits),
    sized(key.modulus),
    sized(key.publicExponent),
    [key.isSensitive, key.isExtractable, key.wasAlwaysSensitive, key.wasNeverExtractable, key.isLocal].map(maybe),
  ])
}

export function readKeys(reader: FieldReader): readonly KeyFacts[] {
  return reader.list(() => ({
    handle: Uint8Array.from(reader.bytes(HANDLE_BYTES)),
    kind: KINDS[reader.u8()] ?? 'other',
    id: Uint8Array.from(reader.sized()),
    label: reader.text(),
    bits: reader.u32(),
    modulus: Uint8Array.from(reader.sized()),
    publicExponent: Uint8Array.from(reader.sized()),
    isSensitive: readMaybe(reader),
    isExtractable: readMaybe(reader),
    wasAlwaysSensitive: readMaybe(reader),
    wasNeverExtractable: readMaybe(reader),
    isLocal: readMaybe(reader),
  }))
}

const NOT_TOLD = 2

function maybe(value: boolean | undefined): Uint8Array {
  return u8(value === undefined ? NOT_TOLD : Number(value))
}

function readMaybe(reader: FieldReader): boolean | undefined {
  const value = reader.u8()
  return value === NOT_TOLD ? undefined : value === 1
}
