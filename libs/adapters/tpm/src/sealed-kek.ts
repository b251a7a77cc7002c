import {
  NAME_BYTES,
  PCR_COUNT,
  type PcrValue,
  SHA256_BYTES,
  type TpmReader,
  assertObjectName,
  concat,
  decodePublic,
  encodePublic,
  pcrDigest,
  readAll,
  sealedTemplate,
  sized,
  u8,
} from '@sealwright/tpm-wire'

import { type ImportableObject, MAX_PRIVATE_BYTES, type SealedObject } from './commands/sealed-object.ts'
import { TpmError } from './errors.ts'
import { decodePolicyList, encodePolicyList } from './policy-list.ts'
import { type ResolvedPolicy, authPolicyOf } from './seal-policy.ts'
import { type Tss2SealedKey, decodeTss2Key, encodeTss2Key } from './tss2-key.ts'

/** ASCII "SWTK". */
const MAGIC = Uint8Array.of(0x53, 0x57, 0x54, 0x4b)
const VERSION = 1
const METHOD_SEALED = 1
const METHOD_IMPORTED = 2
/** Upper bound of the whole container: with all 24 PCRs and the longest policy it has about 1,500 bytes. */
const MAX_SEALED_KEK_BYTES = 4096
const MAX_PUBLIC_BYTES = 512
/** TPMS_ECC_POINT of P-256 (Part 2, clause 11.2.5.2). */
const ENCRYPTED_SEED_BYTES = 68

/** A key-encryption key that one TPM can open, taken apart. Nothing in it is secret. */
export type SealedKek = {
  /** Name of the storage key it was sealed under, 34 bytes. Another one is refused. */
  readonly storageKeyName: Uint8Array
  /** Name of the TPM's endorsement key, 34 bytes, if it was to be had. Diagnostic: tells a cleared TPM from another one. */
  readonly endorsementKeyName: Uint8Array | undefined
  /** Values of the policy's PCRs at sealing. Verified against a `pcr` policy, diagnostic with an `authorized` one. */
  readonly pcrValues: readonly PcrValue[]
  readonly policy: ResolvedPolicy
  readonly object: ({ readonly method: 'sealed' } & SealedObject) | ({ readonly method: 'imported' } & ImportableObject)
}

/**
 * Writes the container.
 *
 * @returns magic (4) ‖ version (1) ‖ method (1) ‖ storage key name (34) ‖ endorsement key name (2 + 0 or 34) ‖ PCR count (1) ‖
 * count × (index (1) ‖ value (32)) ‖ length (2) ‖ TSS2 key.
 * @see docs/formats/tpm-sealed-kek.md
 */
export function encodeSealedKek(kek: SealedKek): Uint8Array {
  return concat(
    MAGIC,
    u8(VERSION),
    u8(kek.object.method === 'sealed' ? METHOD_SEALED : METHOD_IMPORTED),
    kek.storageKeyName,
    sized(kek.endorsementKeyName ?? new Uint8Array(0)),
    u8(kek.pcrValues.length),
    ...kek.pcrValues.flatMap(({ index, value }) => [u8(index), value]),
    sized(encodeTss2Key(tss2KeyOf(kek))),
  )
}

/**
 * Reads the container and checks that its parts agree: attributes and policy digest of the public area, the policy list, the PCR
 * values, and the method. Whether the object is whole, only its TPM can tell.
 *
 * @throws {@link TpmError} `TPM_BLOB_MALFORMED`.
 */
export function decodeSealedKek(bytes: Uint8Array): SealedKek {
  if (bytes.byteLength > MAX_SEALED_KEK_BYTES) throw malformed(`${bytes.byteLength} bytes are too many`)
  try {
    return readAll(bytes, readSealedKek)
  } catch (cause) {
    if (cause instanceof TpmError) throw cause
    throw malformed('its layout is broken', cause)
  }
}

/** The "TSS2 PRIVATE KEY" inside, for other tools. */
export function tss2KeyOf(kek: SealedKek): Tss2SealedKey {
  const { object } = kek
  return {
    emptyAuth: !kek.policy.hasPin,
    policy: encodePolicyList(kek.policy),
    secret: object.method === 'imported' ? sized(object.encryptedSeed) : undefined,
    publicArea: sized(object.publicArea),
    privateArea: sized(object.method === 'imported' ? object.duplicate : object.privateArea),
  }
}

function readSealedKek(reader: TpmReader): SealedKek {
  if (Buffer.compare(reader.bytes(MAGIC.byteLength), MAGIC) !== 0) throw malformed('it does not begin with "SWTK"')
  const version = reader.u8()
  if (version !== VERSION) throw malformed(`version ${version} is not known here`)
  const method = readMethod(reader)
  const storageKeyName = readName(reader.bytes(NAME_BYTES))
  const sizedName = reader.sized(NAME_BYTES)
  const endorsementKeyName = sizedName.byteLength === 0 ? undefined : readName(sizedName)
  const pcrValues = readPcrValues(reader)
  const key = decodeTss2Key(reader.sized(MAX_SEALED_KEK_BYTES))
  const policy = decodePolicyList(key.policy)
  if (key.emptyAuth === policy.hasPin) throw malformed('emptyAuth and policy disagree about a PIN')
  const publicArea = readContents(key.publicArea, MAX_PUBLIC_BYTES)
  assertPublicArea(publicArea, method, policy)
  assertPcrValues(pcrValues, policy)
  return { storageKeyName, endorsementKeyName, pcrValues, policy, object: readObject(method, publicArea, key) }
}

function readMethod(reader: TpmReader): SealedKek['object']['method'] {
  const method = reader.u8()
  if (method === METHOD_SEALED) return 'sealed'
  if (method === METHOD_IMPORTED) return 'imported'
  throw malformed(`method ${method} is not known here`)
}

function readName(name: Uint8Array): Uint8Array {
  assertObjectName(name)
  return Uint8Array.from(name)
}

function readPcrValues(reader: TpmReader): readonly PcrValue[] {
  const count = reader.u8()
  if (count > PCR_COUNT) throw malformed(`${count} PCR values are too many`)
  return Array.from({ length: count }, () => ({
    index: reader.u8(),
    value: Uint8Array.from(reader.bytes(SHA256_BYTES)),
  }))
}

function readObject(
  method: SealedKek['object']['method'],
  publicArea: Uint8Array,
  key: Tss2SealedKey,
): SealedKek['object'] {
  const privateArea = readContents(key.privateArea, MAX_PRIVATE_BYTES)
  if (privateArea.byteLength === 0) throw malformed('its private area is empty')
  if (method === 'sealed') {
    if (key.secret !== undefined) throw malformed('a sealed object has no import seed')
    return { method, publicArea, privateArea }
  }
  if (key.secret === undefined) throw malformed('an imported object needs its seed')
  const encryptedSeed = readContents(key.secret, ENCRYPTED_SEED_BYTES)
  if (encryptedSeed.byteLength !== ENCRYPTED_SEED_BYTES) throw malformed('its seed has a wrong length')
  return { method, publicArea, duplicate: privateArea, encryptedSeed }
}

/** The contents of a TPM2B that fills `bytes`. */
function readContents(bytes: Uint8Array, maxBytes: number): Uint8Array {
  return readAll(bytes, reader => Uint8Array.from(reader.sized(maxBytes)))
}

/** The public area must be the one that we would have written for this method and policy. */
function assertPublicArea(publicArea: Uint8Array, method: SealedKek['object']['method'], policy: ResolvedPolicy): void {
  const area = decodePublic(publicArea)
  const template = sealedTemplate({ method, authPolicy: authPolicyOf(policy), hasPin: policy.hasPin })
  const isOurs =
    area.type === 'keyedHash' &&
    area.unique.byteLength === SHA256_BYTES &&
    Buffer.compare(publicArea, encodePublic({ ...template, unique: area.unique })) === 0
  if (!isOurs) throw malformed('its public area does not agree with its policy')
}

function assertPcrValues(values: readonly PcrValue[], { state }: ResolvedPolicy): void {
  if (state.kind === 'none') {
    if (values.length > 0) throw malformed('it records PCRs without a policy on them')
    return
  }
  // Also checks that the numbers ascend, so that there is one spelling.
  const digest = values.length > 0 ? pcrDigest(values) : new Uint8Array(0)
  if (state.kind === 'authorized') return
  const isSame =
    values.length === state.pcrs.length &&
    values.every(({ index }, position) => index === state.pcrs[position]) &&
    Buffer.compare(digest, state.digest) === 0
  if (!isSame) throw malformed('the PCR values it records are not those of its policy')
}

function malformed(why: string, cause?: unknown): TpmError {
  const message = `this is no sealed key we can use: ${why}; restore it from a copy, or open by another seal`
  return new TpmError('TPM_BLOB_MALFORMED', message, { cause })
}
