import { createPublicKey } from 'node:crypto'
import { findSealRecords, type SealMember } from '@sealwright/keyring'
import { type TpmSealConfig } from '@sealwright/node-config'
import { policyRefOf } from '@sealwright/pcr-policies'
import { readSecretFile } from '@sealwright/program'
import { type Secret } from '@sealwright/secret'
import {
  compareConditions,
  type ExpectedTpm,
  expectedTpmOf,
  policySigner,
  readTpmIdentity,
  type SealConditions,
  type TpmAccess,
  tpmMemberId,
  type TpmIdentity,
  tpmSealMember,
  tpmWrappingKey,
} from '@sealwright/tpm'
import { type ConfiguredSeal } from './configured-seal.ts'
import { namedTpm, namedTpms, nameOf, recognisedTpm } from './recognised-tpm.ts'
import { readEachMember, recordsOfSeal } from './seal-records.ts'
import { readPoliciesFile } from './signed-policy/policies-file.ts'
import { tpmAccess } from './tpm-access.ts'

/** How a seal opens when it is about to be sealed anew. */
export interface TpmSealOptions {
  readonly acceptWeaker?: boolean
  readonly policiesFile?: string | undefined
}

/**
 * Makes a seal from its configuration. Asks the TPM nothing, and reads PIN files and policies only when they are needed, each time anew.
 *
 * @param isOurCluster - whether this is known to be the cluster of this node. If not, no key is opened that somebody else has made for
 *   this TPM: it would not show where it comes from.
 * @param options.acceptWeaker - opens what was sealed under weaker conditions too: only to seal it anew. Default: no.
 * @param options.policiesFile - instead of the one that the configuration names, where it names none any more.
 */
export function tpmSeal(
  config: TpmSealConfig,
  isOurCluster: (clusterId: Uint8Array) => boolean,
  { acceptWeaker = false, policiesFile = config.signedPolicy?.policiesFile }: TpmSealOptions = {},
): ConfiguredSeal {
  const { name, type, priority, disabled } = config

  const withMember = async <T>(
    chooseExpected: (access: TpmAccess) => Promise<ExpectedTpm | TpmIdentity>,
    use: (member: SealMember) => Promise<T>,
    acceptImported = false,
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
      const access = tpmAccess(config, ownerAuth)
      const expected = await chooseExpected(access)
      return await use(
        tpmSealMember({
          ...access,
          expected,
          policy: policyOf(config),
          acceptImported,
          acceptWeaker,
          ...(policiesFile === undefined ? {} : { readPolicies: () => readPoliciesFile(policiesFile) }),
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
      return readEachMember(newestFirst, expectedTpmOf).map(tpm => ({
        storageKeyName: nameOf(tpm),
        memberId: tpmMemberId(tpm.storageKeyName),
      }))
    },
    async withLocalMember({ knownIn, signal }, use) {
      const known = knownIn === undefined ? [] : readEachMember(findSealRecords(knownIn, name), expectedTpmOf)
      return await withMember(async access => {
        const present = namedTpm(await readTpmIdentity(access, { signal }), config.storageKeyName)
        if (known.length > 0) recognisedTpm(known, present)
        return present
      }, use)
    },
    async withRecordedMember(keyring, signal, use) {
      const { sealId, records } = recordsOfSeal(keyring, name)
      // Before anything is sent: a record that names another TPM than the configuration may be a forged one.
      const enrolled = namedTpms(readEachMember(records, expectedTpmOf), config.storageKeyName)
      return await withMember(
        async access => {
          const [only] = enrolled
          // With one member there is no choice, and opening compares it anyway: one question less for the TPM.
          if (only !== undefined && enrolled.length === 1) return only
          return recognisedTpm(enrolled, await readTpmIdentity(access, { signal }))
        },
        async member => await use(member, sealId),
        isOurCluster(keyring.clusterId),
      )
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

/**
 * The PCR bank that seals use is SHA-256; a list of PCRs is bound to their values at the time of sealing. With a signer no value is
 * recorded: the policies name the drift.
 */
function policyOf({ pcrs, signedPolicy }: TpmSealConfig): SealConditions['policy'] {
  if (signedPolicy !== undefined) {
    const signer = policySigner(createPublicKey(signedPolicy.publicKey))
    return { kind: 'authorized', signer, policyRef: policyRefOf(signedPolicy.reference), pcrs: [] }
  }
  return pcrs.length === 0 ? { kind: 'none' } : { kind: 'pcr', pcrs: [...pcrs].sort((a, b) => a - b) }
}
