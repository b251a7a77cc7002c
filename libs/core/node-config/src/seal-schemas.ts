import { createPublicKey } from 'node:crypto'
import * as v from 'valibot'
import { absolutePath, openBaoAddress, sealName, text, wholeNumber } from './fields.ts'

/** Where the TPM answers; just one of the three. */
const tpmAddress = v.union(
  [
    v.strictObject({ device: absolutePath }),
    v.strictObject({ socket: absolutePath }),
    v.strictObject({ host: text, port: wholeNumber(1, 65_535) }),
  ],
  'must be { device: PATH }, { socket: PATH } or { host: NAME, port: NUMBER }',
)

/** The name of a storage key with a SHA-256 name algorithm, as `bootstrap-init` prints it. It is not secret. */
const storageKeyName = v.pipe(
  text,
  v.regex(/^000b[0-9a-f]{64}$/, 'must be 68 of 0-9 and a-f beginning with 000b, as bootstrap-init prints it'),
)

/** What every seal has. */
const commonFields = {
  name: sealName,
  /** Lower is tried first. */
  priority: wholeNumber(1, 1_000),
  disabled: v.optional(v.boolean(), false),
}

/** Which states of the machine a TPM opens in: those that the holder of a signing key approves, now and later. */
const signedPolicy = v.strictObject({
  publicKey: v.pipe(
    text,
    v.check(
      isP256PublicKey,
      'must be a P-256 public key in PEM (-----BEGIN PUBLIC KEY-----); the private key must never lie on a node',
    ),
  ),
  reference: v.pipe(text, v.regex(/^[A-Za-z0-9._-]{1,32}$/, 'must be 1 to 32 of A-Z, a-z, 0-9, ".", "_" and "-"')),
  policiesFile: absolutePath,
})

/** Node would take a private key as well, and derive the public one. */
function isP256PublicKey(pem: string): boolean {
  if (!pem.trimStart().startsWith('-----BEGIN PUBLIC KEY-----')) return false
  try {
    return createPublicKey(pem).asymmetricKeyDetails?.namedCurve === 'prime256v1'
  } catch {
    return false
  }
}

const tpmFields = v.strictObject({
  type: v.literal('tpm'),
  ...commonFields,
  tpm: v.optional(tpmAddress, { device: '/dev/tpmrm0' }),
  pcrs: v.optional(
    v.pipe(
      v.array(wholeNumber(0, 23)),
      v.check(list => new Set(list).size === list.length, 'names a PCR twice'),
    ),
    [],
  ),
  signedPolicy: v.optional(signedPolicy),
  pinFile: v.optional(absolutePath),
  storageKeyName: v.optional(storageKeyName),
  ownerAuthFile: v.optional(absolutePath),
  deadlineMs: v.optional(wholeNumber(100, 600_000), 30_000),
})

export const tpmSeal = v.pipe(
  tpmFields,
  v.check(
    ({ pcrs, signedPolicy: signed }) => pcrs.length === 0 || signed === undefined,
    'has pcrs and signedPolicy: a seal is bound either to the values at sealing or to what a signer approves',
  ),
)

/** Which token: by what is printed on it or by what was given to it. A slot number changes when a reader is plugged in elsewhere. */
const pkcs11Token = v.union(
  [v.strictObject({ label: text }), v.strictObject({ serialNumber: text })],
  'must be { label: TEXT } or { serialNumber: TEXT }',
)

/** Which key on the token. */
const pkcs11Key = v.union(
  [
    v.strictObject({
      id: v.pipe(text, v.regex(/^([0-9a-f]{2}){1,64}$/, 'must be 1 to 64 bytes in lower-case hex (CKA_ID)')),
    }),
    v.strictObject({ label: text }),
  ],
  'must be { id: HEX } or { label: TEXT }',
)

export const pkcs11Seal = v.strictObject({
  type: v.literal('pkcs11'),
  ...commonFields,
  module: absolutePath,
  token: pkcs11Token,
  key: pkcs11Key,
  pinFile: absolutePath,
  mechanism: v.optional(v.picklist(['aes-gcm', 'rsa-oaep'], 'must be aes-gcm or rsa-oaep'), 'aes-gcm'),
  oaepHash: v.optional(v.picklist(['sha1', 'sha256', 'sha384', 'sha512'], 'must be sha1, sha256, sha384 or sha512')),
  environment: v.optional(v.record(v.pipe(v.string(), v.regex(/^[A-Z_][A-Z0-9_]*$/)), v.string()), {}),
  deadlineMs: v.optional(wholeNumber(100, 600_000), 10_000),
})

/** How a program proves to another OpenBao who it is. */
export const transitAuth = v.variant(
  'method',
  [
    v.strictObject({ method: v.literal('token'), tokenFile: absolutePath }),
    v.strictObject({
      method: v.literal('approle'),
      mountPath: v.optional(text, 'approle'),
      roleIdFile: absolutePath,
      secretIdFile: absolutePath,
    }),
    v.strictObject({
      method: v.literal('jwt'),
      mountPath: v.optional(text, 'jwt'),
      role: text,
      jwtFile: absolutePath,
    }),
    v.strictObject({
      method: v.literal('kubernetes'),
      mountPath: v.optional(text, 'kubernetes'),
      role: text,
      jwtFile: v.optional(absolutePath, '/var/run/secrets/kubernetes.io/serviceaccount/token'),
    }),
    v.strictObject({ method: v.literal('cert'), mountPath: v.optional(text, 'cert'), role: v.optional(text) }),
  ],
  'must be one of: token, approle, jwt, kubernetes, cert',
)

export const NEEDS_CERTIFICATE = 'needs tls.certFile and tls.keyFile together, and both for auth.method cert'

/** By what another OpenBao proves to us who it is, and we to it. */
export const transitTls = v.optional(
  v.strictObject({
    caFile: v.optional(absolutePath),
    certFile: v.optional(absolutePath),
    keyFile: v.optional(absolutePath),
    serverName: v.optional(text),
    /** Whoever answers gets the token, and what is sealed. For experiments. */
    unsafelySkipVerify: v.optional(v.boolean(), false),
  }),
  {},
)

/** Key of the transit engine of another OpenBao. */
const transitFields = v.strictObject({
  type: v.literal('transit'),
  ...commonFields,
  address: openBaoAddress,
  mountPath: v.optional(text, 'transit'),
  namespace: v.optional(text),
  keyName: text,
  auth: transitAuth,
  tls: transitTls,
  deadlineMs: v.optional(wholeNumber(100, 600_000), 10_000),
})

export const transitSeal = v.pipe(
  transitFields,
  v.check(seal => hasItsCertificate(seal), NEEDS_CERTIFICATE),
)

/** Whether a client certificate is named whole, and is there where the login needs it. */
export function hasItsCertificate({ auth, tls: { certFile, keyFile } }: TransitConnection): boolean {
  return (certFile === undefined) === (keyFile === undefined) && (auth.method !== 'cert' || certFile !== undefined)
}

export const shamirSeal = v.strictObject({ type: v.literal('shamir'), ...commonFields })

/** A seal that a TPM keeps. */
export type TpmSealConfig = Readonly<v.InferOutput<typeof tpmSeal>>

/** What a TPM seal says of its signed policies. */
export type SignedPolicyConfig = NonNullable<TpmSealConfig['signedPolicy']>

/** A seal that a PKCS#11 token keeps. */
export type Pkcs11SealConfig = Readonly<v.InferOutput<typeof pkcs11Seal>>

/** The way to another OpenBao: what proves each to the other. */
export interface TransitConnection {
  readonly auth: Readonly<v.InferOutput<typeof transitAuth>>
  readonly tls: Readonly<v.InferOutput<typeof transitTls>>
}

/** A seal that the transit engine of another OpenBao keeps. */
export type TransitSealConfig = Readonly<v.InferOutput<typeof transitSeal>>

/** A seal that people keep, in shares. */
export type ShamirSealConfig = Readonly<v.InferOutput<typeof shamirSeal>>

/** Where a TPM answers. */
export type TpmAddress = TpmSealConfig['tpm']
