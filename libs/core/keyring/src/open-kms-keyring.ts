import { type KeyObject } from 'node:crypto'

import { assertAuthentic } from './authenticate.ts'
import { deriveKmsKey, deriveMacKey } from './key-schedule.ts'
import { type Generation, type Keyring } from './keyring.ts'
import { assertKmsKeyring, parseKmsKeyId } from './kms-key-id.ts'
import { currentGeneration, lineageOf } from './lineage.ts'
import { type GenerationState } from './registry.ts'
import { type SealKeys, unwrapSealKeys, type UnwrapInput } from './seal-keys.ts'

/** One version of the key of a KMS plugin: a generation of its keyring. */
export interface KmsGeneration {
  /** From 1, growing by each rotation. */
  readonly number: number
  /** 16 bytes that recognise its key. */
  readonly id: Uint8Array
  /** When nodes may begin to encrypt by it, in milliseconds since 1970. */
  readonly notBeforeMs: number
  readonly state: GenerationState
  /** 32 bytes. `undefined` if it is retired, or out of reach of the member that opened the keyring. */
  readonly key: KeyObject | undefined
}

/** An authentic keyring, and the keys that serve a KMS plugin: none that serves OpenBao, and no seal key. */
export interface OpenKmsKeyring {
  /** Checked under its current seal key. */
  readonly keyring: Keyring
  /** See {@link SealKeys.isOriginProven}. */
  readonly isOriginProven: boolean
  /**
   * The current generation and all that it comes after, oldest first: no two have one number. A generation beside this chain, which
   * another node made at the same time, is none of them.
   */
  readonly generations: readonly KmsGeneration[]
}

/**
 * Derives what serves a KMS plugin.
 *
 * @param sealKeys - hold the key of the current generation; stay the caller's, who wipes them at once.
 * @throws {@link KeyringError} `KEYRING_OTHER_USE`, `KEYRING_KEY_UNKNOWN` or `KEYRING_AUTH_FAILED`.
 * @see docs/formats/keyring.md §12
 */
export function kmsKeyringOf(keyring: Keyring, sealKeys: SealKeys): OpenKmsKeyring {
  assertKmsKeyring(keyring)
  const current = currentGeneration(keyring)
  assertAuthentic(keyring, deriveMacKey(sealKeys.of(current.id), keyring.clusterId))
  const generations = kmsChain(keyring).map(generation => ({
    ...generation,
    key:
      generation.state !== 'retired' && sealKeys.has(generation.id)
        ? deriveKmsKey(sealKeys.of(generation.id), keyring.clusterId)
        : undefined,
  }))
  return { keyring, isOriginProven: sealKeys.isOriginProven, generations }
}

/**
 * Opens the keyring of a KMS plugin through one member. The plain seal keys exist only inside this call and are wiped before it returns.
 *
 * @throws {@link KeyringError} `KEYRING_OTHER_USE` before the member is asked; as `unwrapSealKeys`. What the member throws passes through.
 */
export async function openKmsKeyring(input: UnwrapInput): Promise<OpenKmsKeyring> {
  assertKmsKeyring(input.keyring)
  const sealKeys = await unwrapSealKeys(input)
  try {
    return kmsKeyringOf(input.keyring, sealKeys)
  } finally {
    sealKeys.wipe()
  }
}

/** The versions that the keyring of a KMS plugin lists, without their keys, as {@link OpenKmsKeyring.generations}. */
export function kmsChain(keyring: Keyring): readonly Omit<KmsGeneration, 'key'>[] {
  assertKmsKeyring(keyring)
  return lineageOf(keyring, currentGeneration(keyring)).map(withDate)
}

function withDate({ number, id, state, keyId }: Generation): Omit<KmsGeneration, 'key'> {
  return { number, id, state, notBeforeMs: parseKmsKeyId(keyId)?.notBeforeMs ?? 0 }
}
