import { randomBytes } from 'node:crypto'
import { addRecord, createKeyring, KEY_BYTES, type Keyring, matchSealKey } from '@sealwright/keyring'
import { parseNodeConfig } from '@sealwright/node-config'
import { Secret } from '@sealwright/secret'
import { type ConfiguredSeal } from '../configured-seal.ts'
import { configuredSeals, openThrough } from '../node-seals.ts'

/** No test here starts a program for a PKCS#11 module. */
export const NO_PROGRAMS = { pkcs11Program: { command: '/nonexistent', args: [] } } as const

/** Fields of a seal in the configuration file that a test sets for itself. */
export type SealFields = Readonly<Record<string, unknown>>

/** Seals of a configuration file, all with one TPM unless they name another, and one seal key for them. */
export interface TpmSeals {
  readonly sealKey: Secret
  configured(...seals: readonly SealFields[]): readonly ConfiguredSeal[]
  /** The seal of a file with one. */
  only(seal?: SealFields): ConfiguredSeal
  /** `keyring` with a record for the TPM that is there now; a new keyring if there is none. */
  enrol(seal: ConfiguredSeal, keyring?: Keyring): Promise<Keyring>
}

/** Seals with the TPM at this Unix socket. */
export function tpmSeals(socketPath: string): TpmSeals {
  const sealKey = new Secret(Uint8Array.from(randomBytes(KEY_BYTES)))

  const configured = (...seals: readonly SealFields[]): readonly ConfiguredSeal[] => {
    const file = {
      seals: seals.map((seal, index) => ({
        type: 'tpm',
        name: 'tpm',
        priority: index + 1,
        tpm: { socket: socketPath },
        deadlineMs: 10_000,
        ...seal,
      })),
    }
    return configuredSeals(parseNodeConfig(JSON.stringify(file), 'test'), NO_PROGRAMS)
  }

  return {
    sealKey,
    configured,
    only(seal = {}) {
      const [only] = configured(seal)
      if (only === undefined) throw new Error('no seal')
      return only
    },
    async enrol(seal, keyring) {
      const { signal } = new AbortController()
      return await seal.withLocalMember({ knownIn: undefined, signal }, async member => {
        const record = {
          sealName: seal.name,
          member,
          method: member.method,
          label: 'node',
          now: Date.now,
          randomBytes,
          signal,
        }
        if (keyring === undefined) return await createKeyring({ ...record, sealKey })
        const sealKeys = matchSealKey({ keyring, sealKey })
        try {
          return await addRecord({ ...record, keyring, sealKeys })
        } finally {
          sealKeys.wipe()
        }
      })
    },
  }
}

/** `opens`, or the code of what stopped it. */
export async function opening(seal: ConfiguredSeal, keyring: Keyring): Promise<string> {
  try {
    const opened = await openThrough(seal, keyring, new AbortController().signal)
    opened.close()
    return 'opens'
  } catch (error) {
    return (error as { code: string }).code // every failure of a seal has one
  }
}
