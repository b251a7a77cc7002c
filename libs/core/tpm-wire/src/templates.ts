import {
  TPMA_OBJECT_adminWithPolicy,
  TPMA_OBJECT_decrypt,
  TPMA_OBJECT_fixedParent,
  TPMA_OBJECT_fixedTPM,
  TPMA_OBJECT_noDA,
  TPMA_OBJECT_restricted,
  TPMA_OBJECT_sensitiveDataOrigin,
  TPMA_OBJECT_sign,
  TPMA_OBJECT_userWithAuth,
} from './constants.ts'
import { type EccPoint, type EccPublic, type KeyedHashPublic } from './public-area.ts'

const NOTHING = new Uint8Array(0)

/**
 * The storage root key: template H-2 (TCG EK Credential Profile 2.5, clause B.4.5) as a storage key (TCG TPM v2.0 Provisioning
 * Guidance, clause 7.5.1): ECC P-256, SHA-256, AES-128-CFB, attributes 0x30472, *empty* unique. It is what a parent of
 * 0x40000001 means in a "TSS2 PRIVATE KEY" file (draft-bottomley-tpm2-keys, clause 3.1.8).
 */
export const STORAGE_KEY_TEMPLATE: EccPublic = {
  type: 'ecc',
  attributes:
    TPMA_OBJECT_fixedTPM |
    TPMA_OBJECT_fixedParent |
    TPMA_OBJECT_sensitiveDataOrigin |
    TPMA_OBJECT_userWithAuth |
    TPMA_OBJECT_noDA |
    TPMA_OBJECT_restricted |
    TPMA_OBJECT_decrypt,
  authPolicy: NOTHING,
  symmetric: 'aes128cfb',
  scheme: 'null',
  unique: { x: NOTHING, y: NOTHING },
}

/** PolicyA for SHA-256: TPM2_PolicySecret(TPM_RH_ENDORSEMENT) (TCG EK Credential Profile 2.5, clause B.6.2). */
const EK_POLICY_A = Uint8Array.from(
  Buffer.from('837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa', 'hex'),
)

/**
 * The endorsement key: template L-2 (TCG EK Credential Profile 2.5, clause B.3.4): ECC P-256, unique of 2 × 32 zero bytes.
 * It comes from the endorsement seed, which survives TPM2_Clear: so it tells a cleared TPM from another TPM.
 */
export const ENDORSEMENT_KEY_TEMPLATE: EccPublic = {
  type: 'ecc',
  attributes:
    TPMA_OBJECT_fixedTPM |
    TPMA_OBJECT_fixedParent |
    TPMA_OBJECT_sensitiveDataOrigin |
    TPMA_OBJECT_adminWithPolicy |
    TPMA_OBJECT_restricted |
    TPMA_OBJECT_decrypt,
  authPolicy: EK_POLICY_A,
  symmetric: 'aes128cfb',
  scheme: 'null',
  unique: { x: new Uint8Array(32), y: new Uint8Array(32) },
}

/** What decides the attributes of a sealed object. */
export type SealedKind = {
  /** `sealed`: made inside this TPM. `imported`: made elsewhere for this TPM's storage key, so not fixed to it by attribute. */
  readonly method: 'sealed' | 'imported'
  /** 32 bytes, or empty for no policy. */
  readonly authPolicy: Uint8Array
  /** With a PIN the TPM's dictionary attack protection guards the object; without one it would only lock us out. */
  readonly hasPin: boolean
}

/**
 * The public area of data sealed by us (Part 1, clause 27.2; Part 2, clause 8.3).
 * `userWithAuth` is clear whenever there is a policy, else the auth value alone would go round it.
 */
export function sealedTemplate(kind: SealedKind): KeyedHashPublic {
  const fixed = kind.method === 'sealed' ? TPMA_OBJECT_fixedTPM | TPMA_OBJECT_fixedParent : 0
  const auth = kind.authPolicy.byteLength === 0 ? TPMA_OBJECT_userWithAuth : 0
  const lockout = kind.hasPin ? 0 : TPMA_OBJECT_noDA
  return { type: 'keyedHash', attributes: fixed | auth | lockout, authPolicy: kind.authPolicy, unique: NOTHING }
}

/** The public area under which a P-256 signer of policies is loaded and named (TPM2_LoadExternal; Part 3, clause 12.3). */
export function policySignerPublic(point: EccPoint): EccPublic {
  return {
    type: 'ecc',
    attributes: TPMA_OBJECT_sign | TPMA_OBJECT_userWithAuth,
    authPolicy: NOTHING,
    symmetric: 'null',
    scheme: 'ecdsaSha256',
    unique: point,
  }
}
