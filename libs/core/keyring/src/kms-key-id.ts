import { type RandomBytes } from '@sealwright/envelope'

import { hex } from '@sealwright/bytes'
import { KeyringError } from './keyring-error.ts'
import { type KeyringContents } from './keyring.ts'

/** Random part of a key id, in bytes: enough that two versions never share one. */
const RANDOM_BYTES = 8
/** Ends in the year 5138. */
const MAX_NOT_BEFORE_MS = 99_999_999_999_999

const PATTERN = /^kms-[0-9a-f]{16}-(0|[1-9][0-9]{0,13})$/

/**
 * A key id for a generation of the keyring of a KMS plugin. It marks the keyring as one of these, and carries a date: the generation before
 * it signs both, and neither ever changes.
 *
 * @param input.notBeforeMs - when nodes may begin to encrypt by it, in milliseconds since 1970: once all of them have been given the keyring.
 * @throws {@link KeyringError} `KEYRING_INPUT_INVALID` for the date or the random source.
 * @see docs/formats/keyring.md §12
 */
export function makeKmsKeyId({
  notBeforeMs,
  randomBytes,
}: {
  readonly notBeforeMs: number
  readonly randomBytes: RandomBytes
}): string {
  if (!Number.isSafeInteger(notBeforeMs) || notBeforeMs < 0 || notBeforeMs > MAX_NOT_BEFORE_MS) {
    throw new KeyringError('KEYRING_INPUT_INVALID', `${notBeforeMs} is no date that a key id can carry`)
  }
  const random = randomBytes(RANDOM_BYTES)
  if (random.byteLength !== RANDOM_BYTES) {
    throw new KeyringError('KEYRING_INPUT_INVALID', `the random source gave ${random.byteLength} bytes`)
  }
  return `kms-${hex(random)}-${notBeforeMs}`
}

/** What a key id of {@link makeKmsKeyId} says; `null` for any other. */
export function parseKmsKeyId(keyId: string): { readonly notBeforeMs: number } | null {
  const [, notBeforeMs] = PATTERN.exec(keyId) ?? []
  return notBeforeMs === undefined ? null : { notBeforeMs: Number(notBeforeMs) }
}

/** Whether each generation of a keyring is one for a KMS plugin. */
export function isKmsKeyring({ generations }: Pick<KeyringContents, 'generations'>): boolean {
  return generations.every(({ keyId }) => parseKmsKeyId(keyId) !== null)
}

/**
 * Refuses a keyring that opens OpenBao. Its keys would be others than those, so nothing could be read that is not meant to be; but a node
 * would think that it has a key where it has none.
 *
 * @throws {@link KeyringError} `KEYRING_OTHER_USE`.
 */
export function assertKmsKeyring(keyring: Pick<KeyringContents, 'generations'>): void {
  if (isKmsKeyring(keyring)) return
  throw new KeyringError(
    'KEYRING_OTHER_USE',
    'this keyring opens OpenBao, and is none of a KMS plugin: give the KMS plugin a store of its own',
  )
}
