import { type Secret } from '@sealwright/secret'

import { placeRecord, type RecordInput, type Surroundings } from './add-record.ts'
import { authenticate } from './authenticate.ts'
import { describeGeneration } from './generation.ts'
import { deriveClusterId, deriveMacKey } from './key-schedule.ts'
import { type Keyring } from './keyring.ts'

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
  const first = describeGeneration({ sealKey, keyId, step: 'chained', state: 'active' })
  const clusterId = deriveClusterId(first.signingKey)
  const contents = await placeRecord(
    {
      clusterId,
      revision: 1,
      generations: [first],
      seals: [],
      members: [],
      records: [],
      links: [],
    },
    sealKey,
    { ...input, generation: first },
  )
  return authenticate(contents, deriveMacKey(sealKey, clusterId))
}
