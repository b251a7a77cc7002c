import { encryptCfb } from './cfb.ts'
import { SHA256_BYTES, TPMA_OBJECT_decrypt, TPMA_OBJECT_restricted } from './constants.ts'
import { type RandomBytes, shareSecret } from './ecdh.ts'
import { TpmWireError } from './errors.ts'
import { hmacSha256, kdfA, sha256 } from './kdf.ts'
import { type EccPublic, encodePublic, objectName } from './public-area.ts'
import { encodeKeyedHashSensitive } from './sensitive.ts'
import { type SealedKind, sealedTemplate } from './templates.ts'
import { concat, sized } from './writer.ts'

const NOTHING = new Uint8Array(0)
const ZERO_IV = new Uint8Array(16)

/** Sealed data for one storage key, to be brought in with TPM2_Import (Part 3, clause 13.3). */
export type ImportBlob = {
  /** TPMT_PUBLIC of the sealed object. */
  readonly publicArea: Uint8Array
  /** Contents of the TPM2B_PRIVATE `duplicate`: TPM2B integrity HMAC ‖ encrypted TPM2B_SENSITIVE. */
  readonly duplicate: Uint8Array
  /** Contents of the TPM2B_ENCRYPTED_SECRET `inSymSeed`: a TPMS_ECC_POINT. */
  readonly encryptedSeed: Uint8Array
}

/**
 * Seals `data` for another TPM, which need not be there: only it can import the result.
 *
 * Duplication with no inner and an outer wrapper (Part 1, clause 23.3.2.3): the seed is shared with the storage key by ECDH and
 * KDFe "DUPLICATE" (Part 1, clause C.6.3); AES-128-CFB with a zero IV encrypts the sensitive area under KDFa "STORAGE" and the
 * object's name (Part 1, clause 22.4); HMAC-SHA-256 under KDFa "INTEGRITY" covers it and the name (Part 1, clause 22.5).
 *
 * @param storageKey - public area of the target's storage key.
 * @param authValue - empty, or the 32 bytes made from a PIN.
 * @param data - 1 to 128 bytes; neither kept nor wiped.
 * @throws {@link TpmWireError} `TPM_WIRE_RANGE` if `storageKey` is no P-256 storage key or `data` is too long.
 */
export function createImportBlob(input: {
  readonly storageKey: EccPublic
  readonly authPolicy: Uint8Array
  readonly hasPin: SealedKind['hasPin']
  readonly authValue: Uint8Array
  readonly data: Uint8Array
  readonly randomBytes: RandomBytes
}): ImportBlob {
  assertStorageKey(input.storageKey)
  const obfuscation = input.randomBytes(SHA256_BYTES)
  // unique = SHA-256(seed value ‖ data) (Part 1, clause 27.5.3.2)
  const template = sealedTemplate({ method: 'imported', authPolicy: input.authPolicy, hasPin: input.hasPin })
  const publicArea = encodePublic({ ...template, unique: sha256(obfuscation, input.data) })
  const name = objectName(publicArea)

  const { secret: seed, encryptedSecret } = shareSecret(input.storageKey.unique, 'DUPLICATE', input.randomBytes)
  const sensitive = encodeKeyedHashSensitive(input.authValue, obfuscation, input.data)
  const sizedSensitive = sized(sensitive)
  const encryptionKey = kdfA(seed, 'STORAGE', name, NOTHING, 128)
  const integrityKey = kdfA(seed, 'INTEGRITY', NOTHING, NOTHING, 256)
  try {
    const encrypted = encryptCfb(encryptionKey, ZERO_IV, sizedSensitive)
    const duplicate = concat(sized(hmacSha256(integrityKey, encrypted, name)), encrypted)
    return { publicArea, duplicate, encryptedSeed: encryptedSecret }
  } finally {
    for (const bytes of [seed, sensitive, sizedSensitive, encryptionKey, integrityKey, obfuscation]) bytes.fill(0)
  }
}

/** A key without these attributes is no storage key: TPM2_Import would refuse it, and another might export what it opens. */
function assertStorageKey(key: EccPublic): void {
  const needed = TPMA_OBJECT_restricted | TPMA_OBJECT_decrypt
  if ((key.attributes & needed) !== needed || key.symmetric !== 'aes128cfb' || key.unique.x.byteLength === 0) {
    throw new TpmWireError('TPM_WIRE_RANGE', 'the target is no P-256 storage key')
  }
}
