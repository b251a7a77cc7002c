import { decryptEnvelope, encryptEnvelope, EnvelopeError, type RandomBytes } from '@sealwright/envelope'
import { Secret } from '@sealwright/secret'

import { hex } from '@sealwright/bytes'
import { isKeyOf } from './key-schedule.ts'
import { KeyringError } from './keyring-error.ts'
import { type Generation, type KeyringRecord } from './keyring.ts'
import { RECORD_METHODS, type RecordMethod, SEAL_TYPES, sealTypeOf } from './registry.ts'
import { KEY_BYTES } from './seal.ts'
import { kekIdOf } from './validate.ts'

/** What a record is bound to. Nothing that an operator may change later is in it. */
export interface RecordBinding {
  readonly clusterId: Uint8Array
  readonly sealId: Uint8Array
  readonly memberId: Uint8Array
  readonly generationId: Uint8Array
  readonly method: RecordMethod
  readonly sealedKek: Uint8Array
}

/**
 * Wraps a seal key under the KEK of one record.
 *
 * @returns An envelope of purpose `keyring-record` whose key reference is the SHA-256 of the sealed KEK.
 * @see docs/formats/keyring.md §7.1
 */
export function wrapForRecord(
  sealKey: Secret,
  kek: Secret,
  { binding, randomBytes }: { readonly binding: RecordBinding; readonly randomBytes: RandomBytes },
): Uint8Array {
  return sealKey.reveal(plaintext =>
    encryptEnvelope({
      key: kek,
      purpose: 'keyring-record',
      keyRef: kekIdOf(binding.sealedKek),
      context: recordContext(binding),
      plaintext,
      randomBytes,
    }),
  )
}

/**
 * Unwraps the seal key of a record, and checks that it is the key of its generation.
 *
 * @returns The seal key, owned by the caller.
 * @throws {@link KeyringError} `KEYRING_RECORD_AUTH_FAILED`.
 */
export function unwrapRecord(
  record: KeyringRecord,
  kek: Secret,
  { clusterId, generation }: { readonly clusterId: Uint8Array; readonly generation: Generation },
): Secret {
  const failed = (options?: ErrorOptions) =>
    new KeyringError(
      'KEYRING_RECORD_AUTH_FAILED',
      `the record of member ${hex(record.memberId)}, generation ${generation.number} (${generation.keyId}), does not open: it was changed or belongs elsewhere`,
      options,
    )
  if (kek.byteLength !== KEY_BYTES) throw failed()
  const sealKey = unwrap(
    () =>
      decryptEnvelope({
        key: kek,
        purpose: 'keyring-record',
        context: recordContext({ ...record, clusterId }),
        bytes: record.wrappedKey,
      }),
    failed,
  )
  return requireKeyOf(generation, sealKey, failed)
}

function recordContext({ clusterId, sealId, memberId, generationId, method }: RecordBinding): readonly Uint8Array[] {
  return [
    clusterId,
    sealId,
    Uint8Array.of(SEAL_TYPES.numbers[sealTypeOf(method)]),
    memberId,
    generationId,
    Uint8Array.of(RECORD_METHODS.numbers[method]),
  ]
}

function unwrap(decrypt: () => Uint8Array, failed: (options: ErrorOptions) => KeyringError): Secret {
  try {
    return new Secret(decrypt())
  } catch (cause) {
    if (cause instanceof EnvelopeError) throw failed({ cause })
    throw cause
  }
}

function requireKeyOf(generation: Generation, sealKey: Secret, failed: () => KeyringError): Secret {
  if (isKeyOf(generation, sealKey)) return sealKey
  sealKey.wipe()
  throw failed()
}
