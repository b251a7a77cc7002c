import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'
import { findSeal, findSealRecords, ID_BYTES, KeyringError, type SealMember } from '@sealwright/keyring'
import { type ConfiguredSeal } from '@sealwright/node-seals'
import { Secret } from '@sealwright/secret'
import { TpmError } from '@sealwright/tpm'

const NONCE_BYTES = 12
const TAG_BYTES = 16

/** A seal whose device is in memory and does what a test wants. */
export interface FakeSeal extends ConfiguredSeal {
  /** How often its device was asked to open a record, or to say which one it is. */
  asked(): number
  /** What its device answers from now on whenever it is asked; `undefined` mends it. */
  failWith(error: Error | undefined): void
  /** Called each time that the device is asked; it answers when this is done. */
  whenAsked(act: () => Promise<void> | void): void
}

export interface FakeSealOptions {
  readonly name?: string
  /** `tpm` if left out. */
  readonly type?: 'tpm' | 'transit'
  readonly priority?: number
  /** Two seals with a device of one name have the same device. */
  readonly device?: string
  /** `tpm-imported` stands for a record that anybody can have made. */
  readonly method?: 'tpm-sealed' | 'tpm-imported'
  readonly hasPin?: boolean
}

/** Makes a seal. Whatever its device sealed it opens again, also in another process. */
export function fakeSeal(options: FakeSealOptions = {}): FakeSeal {
  const { name = 'tpm', type = 'tpm', priority = 1, device = 'a', hasPin = false } = options
  const { method = type === 'tpm' ? 'tpm-sealed' : type } = options
  const key = digest(`key of ${device}`)
  const memberId = Uint8Array.from(digest(`id of ${device}`).subarray(0, ID_BYTES))
  let asked = 0
  let failure: Error | undefined
  let act: () => Promise<void> | void = () => undefined

  const ask = async (): Promise<void> => {
    asked += 1
    await act()
    if (failure !== undefined) throw failure
  }

  const member: SealMember = {
    sealType: type,
    method,
    memberId,
    sealKek: (kek, { signal }) => {
      signal.throwIfAborted()
      return Promise.resolve(kek.reveal(bytes => sealed(bytes, key)))
    },
    unsealKek: async (sealedKek, { signal }) => {
      signal.throwIfAborted()
      await ask()
      return new Secret(unsealed(sealedKek, key))
    },
  }

  return {
    ...{ name, type, priority, disabled: false, hasPin },
    asked: () => asked,
    failWith(error) {
      failure = error
    },
    whenAsked(next) {
      act = next
    },
    compareConditions: () => 'same',
    enrolledDevices: keyring =>
      findSealRecords(keyring, name).map(record => ({
        storageKeyName: Buffer.from(record.memberId).toString('hex'),
        memberId: record.memberId,
      })),
    withLocalMember: async (_options, use) => await use(member),
    async withRecordedMember(keyring, _signal, use) {
      const seal = findSeal(keyring, name)
      const records = findSealRecords(keyring, name)
      if (seal === undefined || records.length === 0) throw new KeyringError('KEYRING_NO_RECORD', `none for ${name}`)
      if (!records.some(record => Buffer.compare(record.memberId, memberId) === 0)) {
        await ask()
        throw new TpmError('TPM_REPLACED', 'this is none of the TPMs that the keyring has records for')
      }
      return await use(member, seal.sealId)
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function sealed(bytes: Uint8Array, key: Uint8Array): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  return Uint8Array.from([...nonce, ...cipher.update(bytes), ...cipher.final(), ...cipher.getAuthTag()])
}

function unsealed(sealedKek: Uint8Array, key: Uint8Array): Uint8Array {
  const decipher = createDecipheriv('aes-256-gcm', key, sealedKek.subarray(0, NONCE_BYTES))
  try {
    decipher.setAuthTag(sealedKek.subarray(-TAG_BYTES))
    return Uint8Array.from([...decipher.update(sealedKek.subarray(NONCE_BYTES, -TAG_BYTES)), ...decipher.final()])
  } catch (cause) {
    throw new TpmError('TPM_BLOB_CORRUPT', 'the device says that the blob was changed', { cause })
  }
}
