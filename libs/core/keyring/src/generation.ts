import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto'

import { type Secret } from '@sealwright/secret'

import { isName } from './byte-reader.ts'
import { joinBytes, lengthPrefixed, sameBytes, textBytes, uint32 } from '@sealwright/bytes'
import {
  assertSealKey,
  deriveClusterId,
  deriveGenerationId,
  deriveKeyId,
  derivePublicSigningKey,
  deriveSigningKey,
} from './key-schedule.ts'
import { KeyringError } from './keyring-error.ts'
import { type Generation, type KeyringContents } from './keyring.ts'
import { FIRST_GENERATION } from './lineage.ts'
import { GENERATION_STEPS, type GenerationState, type GenerationStep } from './registry.ts'
import { ID_BYTES } from './seal.ts'

const LABEL_GENERATION = 'sealwright keyring v1 generation'
/** SubjectPublicKeyInfo (RFC 8410 §4) of an Ed25519 public key, up to its 32 bytes. */
const SPKI_PREFIX = Uint8Array.of(48, 42, 48, 5, 6, 3, 43, 101, 112, 3, 33, 0)

/** The generation before a new one, and its key, which vouches for the new one. */
export interface Parent {
  readonly clusterId: Uint8Array
  readonly generation: Generation
  /** Stays the caller's. */
  readonly sealKey: Secret
}

/**
 * What a keyring says about one seal key.
 *
 * @param input.parent - absent in the first generation, which vouches for itself.
 * @throws {@link KeyringError} `KEYRING_SEAL_KEY_INVALID`, `KEYRING_INPUT_INVALID`.
 */
export function describeGeneration(input: {
  readonly sealKey: Secret
  readonly keyId: string | undefined
  readonly parent?: Parent
  readonly step: GenerationStep
  readonly state: GenerationState
}): Generation {
  const { sealKey, keyId, parent, step, state } = input
  assertSealKey(sealKey)
  if (keyId !== undefined && !isName(keyId)) {
    throw new KeyringError('KEYRING_INPUT_INVALID', 'the key id is not 1 to 64 printable ASCII characters')
  }
  const signingKey = derivePublicSigningKey(sealKey)
  const statement = {
    number: (parent?.generation.number ?? FIRST_GENERATION - 1) + 1,
    id: deriveGenerationId(sealKey),
    parentId: parent?.generation.id ?? new Uint8Array(ID_BYTES),
    step,
    keyId: keyId ?? deriveKeyId(sealKey),
    signingKey,
  }
  const clusterId = parent?.clusterId ?? deriveClusterId(signingKey)
  const signature = sign(null, statementBytes(clusterId, statement), deriveSigningKey(parent?.sealKey ?? sealKey))
  return { ...statement, state, signature: Uint8Array.from(signature) }
}

/**
 * Checks, without any key, that each generation is vouched for by the one before it, and the first one by the cluster id. So
 * nobody who lacks a seal key of this cluster can put a generation of their own into it.
 *
 * @throws {@link KeyringError} `KEYRING_LINEAGE_FORGED`.
 */
export function assertLineage({ clusterId, generations }: KeyringContents): void {
  for (const generation of generations) {
    const { number, parentId, signature } = generation
    const isFirst = number === FIRST_GENERATION
    if (isFirst && !sameBytes(deriveClusterId(generation.signingKey), clusterId)) {
      throw forged('its first generation is of another cluster')
    }
    const signer = isFirst ? generation : generations.find(({ id }) => sameBytes(id, parentId))
    const isSigned =
      signer !== undefined &&
      verify(null, statementBytes(clusterId, generation), publicKey(signer.signingKey), signature)
    if (!isSigned) throw forged(`generation ${number} (${generation.keyId}) is not vouched for by the one before it`)
  }
}

/** All that a generation is, but for its state, which moves on. */
function statementBytes(
  clusterId: Uint8Array,
  { number, id, parentId, step, keyId, signingKey }: Omit<Generation, 'state' | 'signature'>,
): Uint8Array {
  return lengthPrefixed([
    textBytes(LABEL_GENERATION),
    clusterId,
    uint32(number),
    id,
    parentId,
    Uint8Array.of(GENERATION_STEPS.numbers[step]),
    textBytes(keyId),
    signingKey,
  ])
}

function publicKey(signingKey: Uint8Array): KeyObject {
  const der = joinBytes([SPKI_PREFIX, signingKey])
  return createPublicKey({ key: Buffer.from(der.buffer), format: 'der', type: 'spki' })
}

function forged(reason: string): KeyringError {
  return new KeyringError('KEYRING_LINEAGE_FORGED', `the keyring was changed: ${reason}`)
}
