import { type Secret } from '@sealwright/secret'

import { placeRecord, type RecordInput, type Surroundings } from './add-record.ts'
import { authenticate } from './authenticate.ts'
import { isName } from './byte-reader.ts'
import { assertSealKey, deriveClusterId, deriveKeyCheck, deriveKeyId, deriveMacKey } from './key-schedule.ts'
import { KeyringError } from './keyring-error.ts'
import { type Generation, type Keyring } from './keyring.ts'

/** The generation that a cluster begins with. */
const FIRST_GENERATION = 1

/**
 * Begins the keyring of a cluster: generation 1, with one record.
 *
 * Nodes that each do this from the same seal key and seal name agree on the ids of cluster and seal, on the key id unless
 * one is given, and on every subkey, so that each decrypts what another encrypted.
 *
 * @param input.sealKey - 32 bytes; stays the caller's.
 * @param input.keyId - what OpenBao is told; absent: derived from the key, which it does not reveal.
 * @throws {@link KeyringError} `KEYRING_SEAL_KEY_INVALID`, `KEYRING_INPUT_INVALID` or `KEYRING_TOO_LARGE`. What the member
 *   throws passes through.
 */
export async function createKeyring(
  input: RecordInput & Surroundings & { readonly sealKey: Secret; readonly keyId?: string | undefined },
): Promise<Keyring> {
  const { sealKey, keyId } = input
  const first = describeGeneration(FIRST_GENERATION, sealKey, keyId)
  const clusterId = deriveClusterId(sealKey)
  const contents = await placeRecord(
    {
      clusterId,
      revision: 1,
      currentGeneration: first.number,
      generations: [first],
      seals: [],
      members: [],
      records: [],
      links: [],
    },
    sealKey,
    { ...input, generation: first.number },
  )
  return authenticate(contents, deriveMacKey(sealKey, clusterId))
}

/** What a keyring says about one seal key. Throws `KEYRING_SEAL_KEY_INVALID` or `KEYRING_INPUT_INVALID`. */
export function describeGeneration(number: number, sealKey: Secret, keyId: string | undefined): Generation {
  assertSealKey(sealKey)
  if (keyId !== undefined && !isName(keyId)) {
    throw new KeyringError('KEYRING_INPUT_INVALID', 'the key id is not 1 to 64 printable ASCII characters')
  }
  return { number, keyCheck: deriveKeyCheck(sealKey), keyId: keyId ?? deriveKeyId(sealKey) }
}
