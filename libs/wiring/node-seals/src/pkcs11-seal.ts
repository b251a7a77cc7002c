import { sameBytes } from '@sealwright/bytes'
import { findSealRecords, type SealMember } from '@sealwright/keyring'
import { type Pkcs11SealConfig } from '@sealwright/node-config'
import {
  type ExpectedKey,
  expectedKeyOf,
  type Pkcs11Access,
  Pkcs11Error,
  pkcs11MemberId,
  pkcs11Module,
  pkcs11SealMember,
  readPkcs11Identity,
} from '@sealwright/pkcs11'
import { readSecretFile } from '@sealwright/program'
import { randomKeyBytes } from '@sealwright/secret'
import { type ConfiguredSeal, type SealContext } from './configured-seal.ts'
import { readEachMember, recordsOfSeal } from './seal-records.ts'

/**
 * Makes a seal from its configuration. The module's process is started when it is first needed, and ends with the seal; the PIN
 * file is read for each use.
 */
export function pkcs11Seal(config: Pkcs11SealConfig, { pkcs11Program }: SealContext): ConfiguredSeal {
  const { name, type, priority, disabled, environment, deadlineMs: timeoutMs } = config
  const module = pkcs11Module({ modulePath: config.module, spawn: { ...pkcs11Program, environment } })

  const withAccess = async <T>(use: (access: Pkcs11Access) => Promise<T>): Promise<T> => {
    using pin = await readSecretFile(config.pinFile)
    return await use({
      ...{ module, token: config.token, pin, timeoutMs, mechanism: config.mechanism },
      key: 'id' in config.key ? { id: Buffer.from(config.key.id, 'hex') } : config.key,
      ...(config.oaepHash === undefined ? {} : { oaepHash: config.oaepHash }),
      randomBytes: randomKeyBytes,
    })
  }

  return {
    ...{ name, type, priority, disabled },
    hasPin: true,
    prepare: () => {
      module.prepare(timeoutMs)
    },
    compareConditions: () => 'same',
    enrolledDevices: () => [],
    withLocalMember: ({ knownIn, signal }, use) =>
      withAccess(async access => {
        const identity = await readPkcs11Identity(access, { signal })
        const known = knownIn === undefined ? [] : readEachMember(findSealRecords(knownIn, name), expectedKeyOf)
        if (known.length > 0 && !known.some(key => isSame(key, identity))) {
          throw new Pkcs11Error(
            'PKCS11_OTHER_KEY',
            `the key on the token is none of those that the seal ${name} has records for: name the right one, or enrol this one by hand ` +
              `(sealctl init --seal ${name})`,
          )
        }
        const member = pkcs11SealMember({ ...access, expected: identity })
        const spki = identity.method === 'pkcs11-rsa-oaep' ? identity.spki : undefined
        return await use(spki === undefined ? member : { ...member, wrappingKey: spki })
      }),
    withRecordedMember: (keyring, signal, use) => {
      const { sealId, records } = recordsOfSeal(keyring, name)
      const keys = readEachMember(records, expectedKeyOf)
      const [only] = keys
      return withAccess(async access => {
        const expected = keys.length === 1 && only !== undefined ? only : await presentOf(access, keys, signal)
        return await use(pkcs11SealMember({ ...access, expected }), sealId)
      })
    },
    [Symbol.asyncDispose]: () => module.close(),
  }
}

/** The key that is on the token now, of those that have records. */
async function presentOf(
  access: Pkcs11Access,
  keys: readonly ExpectedKey[],
  signal: AbortSignal,
): Promise<ExpectedKey> {
  const identity = await readPkcs11Identity(access, { signal })
  const present = keys.find(key => isSame(key, identity))
  if (present !== undefined) return present
  throw new Pkcs11Error(
    'PKCS11_OTHER_KEY',
    `the key on the token is none of the ${keys.length} that the keyring has records for: name the right one, or put the right token in`,
  )
}

function isSame(key: ExpectedKey, identity: Pick<SealMember, 'memberId'>): boolean {
  return sameBytes(pkcs11MemberId(key.keyReference), identity.memberId)
}
