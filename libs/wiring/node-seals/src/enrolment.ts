import { createHash } from 'node:crypto'
import { KEY_BYTES, type RecordInput, type RecordMethod } from '@sealwright/keyring'
import { randomKeyBytes, Secret } from '@sealwright/secret'
import { tpmRemoteMember } from '@sealwright/tpm'
import * as v from 'valibot'
import { type ConfiguredSeal } from './configured-seal.ts'
import { EnrolmentError } from './enrolment-error.ts'

/** What a new node asks a live one for. Nothing in it is secret; who approves it compares the fingerprint. */
export interface EnrolmentRequest {
  /** The seal of the cluster that the new TPM becomes a member of. */
  readonly sealName: string
  /** What the new node is called. */
  readonly label: string
  /** TPMT_PUBLIC of its storage key. */
  readonly wrappingKey: Uint8Array
  /** A sealed KEK of the new TPM around a key that was thrown away: it says under which conditions the TPM shall open. */
  readonly like: Uint8Array
}

const TYPE = 'sealwright enrolment request'
const FINGERPRINT_DOMAIN = 'sealwright enrolment request v1'
const FINGERPRINT_BYTES = 16
const MAX_REQUEST_BYTES = 16_384

const base64 = v.pipe(v.string(), v.base64())
const name = v.pipe(v.string(), v.regex(/^[\x21-\x7e]{1,64}$/))
const schema = v.strictObject({
  type: v.literal(TYPE),
  version: v.literal(1),
  sealName: name,
  label: name,
  wrappingKey: base64,
  like: base64,
})

/**
 * Asks the TPM of a seal who it is, and has it seal a key that is thrown away, so that the request says under which conditions.
 *
 * @throws {@link EnrolmentError} `ENROLMENT_UNSUPPORTED` for another seal than a TPM, or one with a PIN. What the seal throws passes through.
 */
export async function makeEnrolmentRequest(
  seal: ConfiguredSeal,
  label: string,
  signal: AbortSignal,
): Promise<EnrolmentRequest> {
  if (seal.type !== 'tpm') {
    throw new EnrolmentError(
      'ENROLMENT_UNSUPPORTED',
      `${seal.name} is a seal of type ${seal.type}, which needs no enrolment by another node: start the agent, or use sealctl recover`,
    )
  }
  if (seal.hasPin) {
    throw new EnrolmentError(
      'ENROLMENT_UNSUPPORTED',
      `${seal.name} has a PIN, which no other node may know: run bootstrap-init with the seal key here, or use sealctl recover`,
    )
  }
  return await seal.withLocalMember({ knownIn: undefined, signal }, async member => {
    if (member.wrappingKey === undefined) throw new TypeError('a TPM has a public key')
    using thrownAway = new Secret(randomKeyBytes(KEY_BYTES))
    const like = await member.sealKek(thrownAway, { signal })
    return { sealName: seal.name, label, wrappingKey: member.wrappingKey, like }
  })
}

/** The request as a file, one JSON object. */
export function encodeEnrolmentRequest({ sealName, label, wrappingKey, like }: EnrolmentRequest): Uint8Array {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
  const request = { type: TYPE, version: 1, sealName, label, wrappingKey: text(wrappingKey), like: text(like) }
  return new TextEncoder().encode(`${JSON.stringify(request, null, 2)}\n`)
}

/** @throws {@link EnrolmentError} `ENROLMENT_REQUEST_MALFORMED`. */
export function decodeEnrolmentRequest(bytes: Uint8Array): EnrolmentRequest {
  if (bytes.byteLength > MAX_REQUEST_BYTES) throw malformed(`${bytes.byteLength} bytes are too many`)
  try {
    const parsed: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    const { sealName, label, wrappingKey, like } = v.parse(schema, parsed)
    return { sealName, label, wrappingKey: Buffer.from(wrappingKey, 'base64'), like: Buffer.from(like, 'base64') }
  } catch (cause) {
    throw malformed('it is none of this version, or was changed', cause)
  }
}

/**
 * What two people compare, on the screen of the new node and on that of the live one: 32 hex digits in groups of four. It covers the
 * public key, the conditions and the names.
 */
export function enrolmentFingerprint({ sealName, label, wrappingKey, like }: EnrolmentRequest): string {
  const hash = createHash('sha256')
  for (const field of [FINGERPRINT_DOMAIN, sealName, label, wrappingKey, like].map(each => Buffer.from(each))) {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(field.byteLength)
    hash.update(length).update(field)
  }
  const digits = hash.digest('hex').slice(0, FINGERPRINT_BYTES * 2)
  return digits.replace(/(.{4})(?=.)/g, '$1-')
}

/** Whether somebody has typed the fingerprint of this request; dashes, blanks and capitals do not count. */
export function isFingerprintOf(request: EnrolmentRequest, typed: string): boolean {
  const digits = (text: string): string => text.toLowerCase().replace(/[\s-]/g, '')
  return digits(typed) === digits(enrolmentFingerprint(request))
}

/**
 * Who seals for the new node.
 *
 * @throws {@link EnrolmentError} `ENROLMENT_REQUEST_MALFORMED`.
 */
export function enrolmentMember(request: EnrolmentRequest): {
  readonly member: RecordInput['member']
  readonly method: RecordMethod
} {
  try {
    const { wrappingKey, like } = request
    const member = tpmRemoteMember({
      ...{ wrappingKey, like },
      randomBytes: randomKeyBytes,
    })
    return { member, method: member.method }
  } catch (cause) {
    throw malformed('its key is not one that can be sealed for', cause)
  }
}

function malformed(why: string, cause?: unknown): EnrolmentError {
  return new EnrolmentError(
    'ENROLMENT_REQUEST_MALFORMED',
    `this is no enrolment request: ${why}; make it anew on the new node with sealctl enroll request`,
    { cause },
  )
}
