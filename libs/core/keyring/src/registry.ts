import { type SealType } from './seal.ts'

/** How the sealed KEK of a record was made: it tells the adapter what it has in hand. */
export type RecordMethod =
  | 'tpm-sealed' // a TPM sealed object
  | 'tpm-imported' // a TPM import blob, made for the storage key of another TPM
  | 'pkcs11-aes-gcm' // AES-256-GCM on the token
  | 'pkcs11-rsa-oaep' // RSA-OAEP for a key pair on the token
  | 'transit' // the transit engine of another OpenBao
  | 'shamir-hybrid' // HPKE with X-Wing for the key pair that the shares rebuild

/** Whether a seal or member is in use. A removed one stays listed, so that a merge does not bring it back. */
export type EntryState = 'active' | 'removed'

/** How a generation follows the one before it: `chained` by a link that wraps its key, `broken` by the signature alone. */
export type GenerationStep = 'chained' | 'broken'

/** It only ever moves on: `pending` while it is handed out, `active` once it may encrypt, `retired` once nothing needs it. */
export type GenerationState = 'pending' | 'active' | 'retired'

/** A closed list of names with their numbers on the wire. 0 is never given; numbers are never given twice. */
export interface Registry<Name extends string> {
  readonly title: string
  readonly numbers: Readonly<Record<Name, number>>
  readonly names: ReadonlyMap<number, Name>
}

function registry<Name extends string>(title: string, entries: readonly (readonly [Name, number])[]): Registry<Name> {
  return {
    title,
    numbers: Object.fromEntries(entries) as Record<Name, number>,
    names: new Map(entries.map(([name, number]) => [number, name])),
  }
}

/** docs/formats/keyring.md §4.1 */
export const SEAL_TYPES: Registry<SealType> = registry('seal type', [
  ['tpm', 1],
  ['pkcs11', 2],
  ['transit', 3],
  ['shamir', 4],
])

/** docs/formats/keyring.md §4.2 */
export const RECORD_METHODS: Registry<RecordMethod> = registry('method', [
  ['tpm-sealed', 1],
  ['tpm-imported', 2],
  ['pkcs11-aes-gcm', 3],
  ['pkcs11-rsa-oaep', 4],
  ['transit', 5],
  ['shamir-hybrid', 6],
])

/** docs/formats/keyring.md §4.3 */
export const ENTRY_STATES: Registry<EntryState> = registry('state', [
  ['active', 1],
  ['removed', 2],
])

/** docs/formats/keyring.md §4.4 */
export const GENERATION_STEPS: Registry<GenerationStep> = registry('step', [
  ['chained', 1],
  ['broken', 2],
])

/** docs/formats/keyring.md §4.5. A later state has the higher number. */
export const GENERATION_STATES: Registry<GenerationState> = registry('generation state', [
  ['pending', 1],
  ['active', 2],
  ['retired', 3],
])

/** The seal type that a method belongs to. */
export function sealTypeOf(method: RecordMethod): SealType {
  switch (method) {
    case 'tpm-sealed':
    case 'tpm-imported':
      return 'tpm'
    case 'pkcs11-aes-gcm':
    case 'pkcs11-rsa-oaep':
      return 'pkcs11'
    case 'transit':
      return 'transit'
    case 'shamir-hybrid':
      return 'shamir'
  }
}

/**
 * Whether a quantum computer could open what a method has sealed, from a copy of the keyring alone: RSA and elliptic curves do not
 * outlast one, symmetric keys and the hybrid do.
 */
export function isQuantumExposed(method: RecordMethod): boolean {
  switch (method) {
    case 'tpm-imported':
    case 'pkcs11-rsa-oaep':
      return true
    case 'tpm-sealed':
    case 'pkcs11-aes-gcm':
    case 'transit':
    case 'shamir-hybrid':
      return false
  }
}

/**
 * Whether a record made by this method shows that its member was there when it was made. The others are made with a public
 * key, which anybody may have: such a record opens, but proves nothing about who made the keyring.
 */
export function provesOrigin(method: RecordMethod): boolean {
  switch (method) {
    case 'tpm-sealed':
    case 'pkcs11-aes-gcm':
    case 'transit':
      return true
    case 'tpm-imported':
    case 'pkcs11-rsa-oaep':
    case 'shamir-hybrid':
      return false
  }
}
