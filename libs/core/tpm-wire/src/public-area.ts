import {
  NAME_BYTES,
  P256_COORDINATE_BYTES,
  SHA256_BYTES,
  TPMA_OBJECT_known,
  TPM_ALG_AES,
  TPM_ALG_CFB,
  TPM_ALG_ECC,
  TPM_ALG_ECDSA,
  TPM_ALG_KEYEDHASH,
  TPM_ALG_NULL,
  TPM_ALG_SHA256,
  TPM_ECC_NIST_P256,
} from './constants.ts'
import { TpmWireError } from './errors.ts'
import { sha256 } from './kdf.ts'
import { type TpmReader, readAll } from './reader.ts'
import { concat, sized, u16, u32 } from './writer.ts'

/** A P-256 point: each coordinate is 32 bytes, or both are empty in a template. TPMS_ECC_POINT (Part 2, clause 11.2.5.2). */
export type EccPoint = { readonly x: Uint8Array; readonly y: Uint8Array }

type PublicBase = {
  /** TPMA_OBJECT (Part 2, clause 8.3). */
  readonly attributes: number
  /** 32 bytes, or empty for no policy. */
  readonly authPolicy: Uint8Array
}

/** Sealed data: TPMT_PUBLIC of type TPM_ALG_KEYEDHASH with a null scheme (Part 2, clause 12.2.3.3). */
export type KeyedHashPublic = PublicBase & {
  readonly type: 'keyedHash'
  /** 32 bytes, or empty in a template. */
  readonly unique: Uint8Array
}

/** A P-256 key: TPMT_PUBLIC of type TPM_ALG_ECC (Part 2, clause 12.2.3.6). */
export type EccPublic = PublicBase & {
  readonly type: 'ecc'
  /** `aes128cfb` for a storage key, `null` for any other. */
  readonly symmetric: 'aes128cfb' | 'null'
  readonly scheme: 'ecdsaSha256' | 'null'
  readonly unique: EccPoint
}

/** The public areas this library knows. The name algorithm is always SHA-256. */
export type TpmtPublic = KeyedHashPublic | EccPublic

/** A key pair's or sealed object's public area may be this long: enough for any ECC or keyed-hash one. */
const MAX_PUBLIC_BYTES = 512

/** Writes a TPMT_PUBLIC (Part 2, clause 12.2.4). */
export function encodePublic(area: TpmtPublic): Uint8Array {
  const type = area.type === 'ecc' ? TPM_ALG_ECC : TPM_ALG_KEYEDHASH
  const common = concat(u16(type), u16(TPM_ALG_SHA256), u32(area.attributes), sized(area.authPolicy))
  return area.type === 'ecc'
    ? concat(common, encodeEccParameters(area), encodeEccPoint(area.unique))
    : concat(common, u16(TPM_ALG_NULL), sized(area.unique))
}

/**
 * Reads a TPMT_PUBLIC that fills `bytes` completely (Part 2, clause 12.2.4).
 *
 * @throws {@link TpmWireError} `TPM_WIRE_UNKNOWN` for another type, hash, curve, scheme or reserved attribute, and the
 * codes of the reader.
 */
export function decodePublic(bytes: Uint8Array): TpmtPublic {
  return readAll(bytes, readPublic)
}

/** Reads a TPM2B_PUBLIC (Part 2, clause 12.2.5) and returns the TPMT_PUBLIC inside, checked. */
export function readSizedPublic(reader: TpmReader): { readonly area: TpmtPublic; readonly bytes: Uint8Array } {
  const bytes = Uint8Array.from(reader.sized(MAX_PUBLIC_BYTES))
  return { area: decodePublic(bytes), bytes }
}

/** Writes a TPMS_ECC_POINT (Part 2, clause 11.2.5.2). */
export function encodeEccPoint(point: EccPoint): Uint8Array {
  return concat(sized(point.x), sized(point.y))
}

/**
 * The name of an object: TPM_ALG_SHA256 ‖ SHA-256(TPMT_PUBLIC), 34 bytes (Part 1, clause 16).
 *
 * @param publicArea - an encoded TPMT_PUBLIC, without the size of a TPM2B.
 */
export function objectName(publicArea: Uint8Array): Uint8Array {
  return concat(u16(TPM_ALG_SHA256), sha256(publicArea))
}

/** @throws {@link TpmWireError} unless `name` is the name of a loaded object with SHA-256. */
export function assertObjectName(name: Uint8Array): void {
  if (name.byteLength !== NAME_BYTES) throw new TpmWireError('TPM_WIRE_RANGE', `a name of ${name.byteLength} bytes`)
  if (name[0] !== TPM_ALG_SHA256 >> 8 || name[1] !== (TPM_ALG_SHA256 & 0xff)) {
    throw new TpmWireError('TPM_WIRE_UNKNOWN', 'a name with another hash than SHA-256')
  }
}

function encodeEccParameters(area: EccPublic): Uint8Array {
  const symmetric =
    area.symmetric === 'aes128cfb' ? concat(u16(TPM_ALG_AES), u16(128), u16(TPM_ALG_CFB)) : u16(TPM_ALG_NULL)
  const scheme = area.scheme === 'ecdsaSha256' ? concat(u16(TPM_ALG_ECDSA), u16(TPM_ALG_SHA256)) : u16(TPM_ALG_NULL)
  return concat(symmetric, scheme, u16(TPM_ECC_NIST_P256), u16(TPM_ALG_NULL))
}

function readPublic(reader: TpmReader): TpmtPublic {
  const type = reader.u16()
  assertKnown('name algorithm', reader.u16(), TPM_ALG_SHA256)
  const attributes = reader.u32()
  if ((attributes & ~TPMA_OBJECT_known) !== 0) {
    throw new TpmWireError('TPM_WIRE_UNKNOWN', `object attributes 0x${attributes.toString(16)}`)
  }
  const base = { attributes, authPolicy: copyOf(emptyOr(reader.sized(SHA256_BYTES), SHA256_BYTES)) }
  if (type === TPM_ALG_KEYEDHASH) {
    assertKnown('keyed-hash scheme', reader.u16(), TPM_ALG_NULL)
    return { type: 'keyedHash', ...base, unique: copyOf(emptyOr(reader.sized(SHA256_BYTES), SHA256_BYTES)) }
  }
  assertKnown('object type', type, TPM_ALG_ECC)
  const symmetric = readSymmetric(reader)
  const scheme = readScheme(reader)
  assertKnown('curve', reader.u16(), TPM_ECC_NIST_P256)
  assertKnown('key derivation scheme', reader.u16(), TPM_ALG_NULL)
  return { type: 'ecc', ...base, symmetric, scheme, unique: readPoint(reader) }
}

function readSymmetric(reader: TpmReader): EccPublic['symmetric'] {
  const algorithm = reader.u16()
  if (algorithm === TPM_ALG_NULL) return 'null'
  assertKnown('symmetric algorithm', algorithm, TPM_ALG_AES)
  assertKnown('AES key size', reader.u16(), 128)
  assertKnown('AES mode', reader.u16(), TPM_ALG_CFB)
  return 'aes128cfb'
}

function readScheme(reader: TpmReader): EccPublic['scheme'] {
  const scheme = reader.u16()
  if (scheme === TPM_ALG_NULL) return 'null'
  assertKnown('signing scheme', scheme, TPM_ALG_ECDSA)
  assertKnown('signing hash', reader.u16(), TPM_ALG_SHA256)
  return 'ecdsaSha256'
}

function readPoint(reader: TpmReader): EccPoint {
  const x = copyOf(emptyOr(reader.sized(P256_COORDINATE_BYTES), P256_COORDINATE_BYTES))
  const y = copyOf(emptyOr(reader.sized(P256_COORDINATE_BYTES), P256_COORDINATE_BYTES))
  if (x.byteLength !== y.byteLength) throw new TpmWireError('TPM_WIRE_RANGE', 'a point with one empty coordinate')
  return { x, y }
}

function emptyOr(bytes: Uint8Array, expectedBytes: number): Uint8Array {
  if (bytes.byteLength === 0 || bytes.byteLength === expectedBytes) return bytes
  throw new TpmWireError('TPM_WIRE_RANGE', `a field of ${bytes.byteLength} bytes, neither 0 nor ${expectedBytes}`)
}

function copyOf(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(bytes)
}

function assertKnown(what: string, found: number, known: number): void {
  if (found !== known) throw new TpmWireError('TPM_WIRE_UNKNOWN', `${what} 0x${found.toString(16)}`)
}
