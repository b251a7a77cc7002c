import { sameBytes } from '@sealwright/bytes'
import {
  addRecord,
  assertOrigin,
  decodeKeyring,
  encodeKeyring,
  findMember,
  findRecords,
  findSeal,
  type Keyring,
  KeyringError,
  OpenKeyring,
  type SealKeys,
} from '@sealwright/keyring'
import { type NodeConfig } from '@sealwright/node-config'
import { StoreError } from '@sealwright/seal-store'
import { randomKeyBytes } from '@sealwright/secret'
import { type ConfiguredSeal, type SealContext } from '../configured-seal.ts'
import { configuredSeals, type NamedFailure, proveThrough, unwrapThroughAny } from '../node-seals.ts'
import { openKeyringStore } from '../store.ts'
import { tpmSeal } from '../tpm-seal.ts'
import { isConfiguredCluster, tpmSealOf } from './configured.ts'

/** What sealing anew has done. */
export interface Resealed {
  /** The seal whose record gave the keys. */
  readonly openedBy: string
  /** Numbers of the generations whose records were made anew, ascending. */
  readonly generations: readonly number[]
  readonly keyring: Keyring
}

/**
 * Makes the records of this node's TPM in one seal anew, under the conditions that are configured now. Each new record is opened by
 * the TPM in its present state before it takes the place of the old one; else nothing is written.
 *
 * The keys come from any seal of this node that opens, the TPM seal itself first: there a record is taken that is weaker than the
 * configuration asks for, since that is what has to be mended.
 *
 * Copies of the old record (`keyring.previous`, backups, blobs of OpenBao) still open in this TPM under the old conditions.
 *
 * @throws {KeyringError} `KEYRING_NO_WAY_IN` if no seal opens, `KEYRING_NO_RECORD`; {StoreError} `STORE_PROOF_FAILED` if the new record
 *   does not open now, `STORE_CHANGED` if an agent was faster; {SignedPolicyError} `POLICIES_NOT_CONFIGURED`; what the TPM throws.
 */
export async function resealTpm(
  input: {
    readonly config: NodeConfig
    readonly sealName: string
    readonly context: SealContext
    /** What opens the old record, where the configuration names no file of policies any more. */
    readonly policiesFile?: string | undefined
  },
  signal: AbortSignal,
): Promise<Resealed> {
  const { config, sealName, context, policiesFile } = input
  const isOurs = isConfiguredCluster(config)
  const sealConfig = tpmSealOf(config, sealName)
  const seal = tpmSeal(sealConfig, isOurs)
  const openers = [
    tpmSeal(sealConfig, isOurs, { acceptWeaker: true, ...(policiesFile === undefined ? {} : { policiesFile }) }),
    ...configuredSeals(config, context).filter(({ name, disabled }) => !disabled && name !== sealName),
  ]
  try {
    await using store = await openKeyringStore(config.store)
    const stored = await store.readKeyring()
    if (stored === undefined) {
      throw new StoreError('STORE_NOT_FOUND', `${config.store} holds no keyring yet: run bootstrap-init on this node`)
    }
    const keyring = decodeKeyring(stored)
    const failures: string[] = []
    const onFailure = ({ sealName: name, code, message }: NamedFailure) => failures.push(`${name}: ${code}: ${message}`)
    const opened = await unwrapThroughAny(openers, keyring, { signal, onFailure })
    if (opened === undefined) {
      throw new KeyringError(
        'KEYRING_NO_WAY_IN',
        `no seal of this node opens now, so nothing can be sealed anew, and nothing was written (${failures.join('; ')})`,
      )
    }
    using sealKeys = opened.sealKeys
    assertOurs(keyring, sealKeys, config.clusterId)
    const made = await withNewRecords(seal, keyring, sealKeys, signal)
    await store.writeKeyring({
      ...{ bytes: encodeKeyring(made.keyring), expectedCurrent: stored, signal },
      prove: async bytesReadBack => {
        await proveThrough(seal, { former: keyring, keyring: decodeKeyring(bytesReadBack) }, signal)
      },
    })
    return { openedBy: opened.sealName, ...made }
  } finally {
    for (const opener of openers) await opener[Symbol.asyncDispose]()
  }
}

function assertOurs(keyring: Keyring, sealKeys: SealKeys, clusterId: string | undefined): void {
  using opened = OpenKeyring.from(keyring, sealKeys)
  assertOrigin(opened, clusterId === undefined ? undefined : Uint8Array.from(Buffer.from(clusterId, 'hex')))
}

async function withNewRecords(
  seal: ConfiguredSeal,
  before: Keyring,
  sealKeys: SealKeys,
  signal: AbortSignal,
): Promise<Pick<Resealed, 'keyring' | 'generations'>> {
  const { name } = seal
  return await seal.withLocalMember({ knownIn: before, signal }, async member => {
    const sealId = findSeal(before, name)?.sealId
    const records = sealId === undefined ? [] : findRecords(before, { sealId, memberId: member.memberId })
    if (records.length === 0) {
      throw new KeyringError(
        'KEYRING_NO_RECORD',
        `this TPM has no record in the seal ${name} that could be made anew: run bootstrap-init on this node`,
      )
    }
    const label = findMember(before, name, member.memberId)?.label ?? name
    const generations: number[] = []
    let keyring = before
    for (const { generationId } of records) {
      const record = { sealName: name, member, method: member.method, label, generationId }
      const randomBytes = randomKeyBytes
      keyring = await addRecord({ ...record, keyring, sealKeys, now: Date.now, randomBytes, signal })
      const number = before.generations.find(({ id }) => sameBytes(id, generationId))?.number
      if (number !== undefined) generations.push(number)
    }
    return { keyring, generations: generations.sort((one, other) => one - other) }
  })
}
