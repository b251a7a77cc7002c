import { randomFillSync } from 'node:crypto'
import {
  findSeal,
  findSealRecords,
  KeyringError,
  type Keyring,
  type KeyringRecord,
  type SealMember,
} from '@sealwright/keyring'
import { type TpmAddress, type TpmSealConfig } from '@sealwright/node-config'
import { readSecretFile } from '@sealwright/program'
import { allocateKeyBytes, type Secret } from '@sealwright/secret'
import {
  compareConditions,
  type ExpectedTpm,
  expectedTpmOf,
  readTpmIdentity,
  type SealConditions,
  type TpmAccess,
  tpmMemberId,
  type TpmIdentity,
  tpmSealMember,
  type TpmTransport,
  tpmWrappingKey,
} from '@sealwright/tpm'
import { type ConfiguredSeal } from './configured-seal.ts'
import { namedTpm, namedTpms, nameOf, recognisedTpm } from './recognised-tpm.ts'

/**
 * Makes a seal from its configuration. Asks the TPM nothing, and reads PIN files only when they are needed.
 *
 * @param isClusterKnown - whether the configuration says which cluster this node belongs to. If not, no key is opened that somebody
 *   else has made for this TPM: it would not show where it comes from.
 */
export function tpmSeal(config: TpmSealConfig, isClusterKnown: boolean): ConfiguredSeal {
  const { name, type, priority, disabled } = config

  const withMember = async <T>(
    chooseExpected: (access: TpmAccess) => Promise<ExpectedTpm | TpmIdentity>,
    use: (member: SealMember) => Promise<T>,
  ): Promise<T> => {
    const secrets: Secret[] = []
    const read = async (path: string | undefined): Promise<Secret | undefined> => {
      if (path === undefined) return undefined
      const secret = await readSecretFile(path)
      secrets.push(secret)
      return secret
    }
    try {
      const ownerAuth = await read(config.ownerAuthFile)
      const pin = await read(config.pinFile)
      const access: TpmAccess = {
        transport: transportOf(config.tpm),
        timeoutMs: config.deadlineMs,
        // Session keys are made of them, so they stay off the JavaScript heap.
        randomBytes: count => randomFillSync(allocateKeyBytes(count)),
        ...(ownerAuth === undefined ? {} : { ownerAuth }),
      }
      const expected = await chooseExpected(access)
      return await use(
        tpmSealMember({
          ...access,
          expected,
          policy: policyOf(config),
          acceptImported: isClusterKnown,
          ...(pin === undefined ? {} : { pin }),
          ...('storageKey' in expected ? { wrappingKey: tpmWrappingKey(expected) } : {}),
        }),
      )
    } finally {
      for (const secret of secrets) secret.wipe()
    }
  }

  return {
    name,
    type,
    priority,
    disabled,
    hasPin: config.pinFile !== undefined,
    compareConditions(sealedKek) {
      return compareConditions(sealedKek, { policy: policyOf(config), hasPin: config.pinFile !== undefined })
    },
    enrolledDevices(keyring) {
      const newestFirst = findSealRecords(keyring, name).toSorted((a, b) => b.createdAtMs - a.createdAtMs)
      return distinctTpms(newestFirst).map(tpm => ({
        storageKeyName: nameOf(tpm),
        memberId: tpmMemberId(tpm.storageKeyName),
      }))
    },
    async withLocalMember({ knownIn, signal }, use) {
      const known = knownIn === undefined ? [] : distinctTpms(findSealRecords(knownIn, name))
      return await withMember(async access => {
        const present = namedTpm(await readTpmIdentity(access, { signal }), config.storageKeyName)
        if (known.length > 0) recognisedTpm(known, present)
        return present
      }, use)
    },
    async withRecordedMember(keyring, signal, use) {
      const { sealId, records } = recordsOf(keyring, name)
      // Before anything is sent: a record that names another TPM than the configuration may be a forged one.
      const enrolled = namedTpms(distinctTpms(records), config.storageKeyName)
      return await withMember(
        async access => {
          const [only] = enrolled
          // With one member there is no choice, and opening compares it anyway: one question less for the TPM.
          if (only !== undefined && enrolled.length === 1) return only
          return recognisedTpm(enrolled, await readTpmIdentity(access, { signal }))
        },
        async member => await use(member, sealId),
      )
    },
  }
}

/** The PCR bank that seals use is SHA-256; a list of PCRs is bound to their values at the time of sealing. */
function policyOf({ pcrs }: TpmSealConfig): SealConditions['policy'] {
  return pcrs.length === 0 ? { kind: 'none' } : { kind: 'pcr', pcrs: [...pcrs].sort((a, b) => a - b) }
}

function recordsOf(keyring: Keyring, sealName: string): { sealId: Uint8Array; records: readonly KeyringRecord[] } {
  const seal = findSeal(keyring, sealName)
  const records = findSealRecords(keyring, sealName)
  if (seal === undefined || records.length === 0) {
    throw new KeyringError(
      'KEYRING_NO_RECORD',
      `the keyring has no record for the seal ${sealName}: run bootstrap-init on this node`,
    )
  }
  return { sealId: seal.sealId, records }
}

/** The TPMs that records were made for, each once. */
function distinctTpms(records: readonly KeyringRecord[]): readonly ExpectedTpm[] {
  const byMember = new Map(records.map(record => [Buffer.from(record.memberId).toString('hex'), record]))
  return [...byMember.values()].map(({ sealedKek }) => expectedTpmOf(sealedKek))
}

function transportOf(address: TpmAddress): TpmTransport {
  if ('device' in address) return { kind: 'device', path: address.device }
  if ('socket' in address) return { kind: 'unix', path: address.socket }
  return { kind: 'tcp', host: address.host, port: address.port }
}
