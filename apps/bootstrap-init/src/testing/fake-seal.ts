import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'
import {
  findSeal,
  ID_BYTES,
  type Keyring,
  KeyringError,
  type KeyringRecord,
  type SealMember,
} from '@sealwright/keyring'
import { type ConfiguredSeal } from '@sealwright/node-seals'
import { Secret } from '@sealwright/secret'
import { type ConditionsComparison, TpmError } from '@sealwright/tpm'

const NONCE_BYTES = 12
const TAG_BYTES = 16
/** Before what the device sealed: the conditions, and the state of the machine. */
const HEADER_BYTES = 2

/** A seal whose device is in memory and does what a test wants. */
export interface FakeSeal extends ConfiguredSeal {
  /** Swaps the device for the one of this name; the same name is the same device. */
  useDevice(name: string): void
  /** Lets the machine be in another state from now on: what was sealed before opens no more. */
  drift(): void
  /** Lets the device refuse all that it sealed so far, as if somebody had changed it. */
  spoil(): void
  /** Which conditions the configuration asks for from now on; the first ones are `none`. */
  configure(conditions: FakeConditions): void
  /** What each contact with the device throws from now on; `undefined` mends it. */
  failWith(error: Error | undefined): void
  /** What opening alone throws from now on. */
  failOpeningWith(error: Error | undefined): void
  /** How often the device was asked: for a new record, or to open one. */
  readonly asked: () => { readonly toEnrol: number; readonly toOpen: number }
  /** Every KEK that went through the device. */
  readonly keks: readonly Secret[]
}

/** Conditions of a record, weakest first. */
export type FakeConditions = 'none' | 'pin' | 'pin and pcrs'

const CONDITIONS: readonly FakeConditions[] = ['none', 'pin', 'pin and pcrs']

export function fakeSeal({ name = 'tpm', priority = 1, hasPin = false, disabled = false } = {}): FakeSeal {
  let device = deviceNamed('first')
  let configured = 0
  let machineState = 0
  const spoilt = new Set<string>()
  const made: string[] = []
  let failure: Error | undefined
  let openingFailure: Error | undefined
  const asked = { toEnrol: 0, toOpen: 0 }
  const keks: Secret[] = []

  const compare = ([recorded = 0]: Uint8Array): ConditionsComparison => {
    if (recorded === configured) return 'same'
    return recorded < configured ? 'weaker' : 'stronger'
  }

  const member = (): SealMember => ({
    sealType: 'tpm',
    method: 'tpm-sealed',
    memberId: device.memberId,
    sealKek: (kek, { signal }) => {
      signal.throwIfAborted()
      keks.push(kek)
      const sealedKek = Uint8Array.from([configured, machineState, ...device.seal(kek)])
      made.push(Buffer.from(sealedKek).toString('hex'))
      return Promise.resolve(sealedKek)
    },
    unsealKek: async (sealedKek, { signal }) => {
      signal.throwIfAborted()
      if (openingFailure !== undefined) throw openingFailure
      if (compare(sealedKek) === 'weaker') throw new TpmError('TPM_POLICY_WEAKER', 'it opens without a PIN')
      if (spoilt.has(Buffer.from(sealedKek).toString('hex'))) throw new TpmError('TPM_BLOB_CORRUPT', 'it was changed')
      if (sealedKek[1] !== machineState) throw new TpmError('TPM_PCR_MISMATCH', 'PCR 7 changed since sealing')
      const kek = device.unseal(sealedKek.subarray(HEADER_BYTES))
      keks.push(kek)
      return await Promise.resolve(kek)
    },
  })

  return {
    name,
    type: 'tpm',
    priority,
    disabled,
    hasPin,
    useDevice(deviceName) {
      device = deviceNamed(deviceName)
    },
    drift() {
      machineState += 1
    },
    spoil() {
      for (const sealedKek of made) spoilt.add(sealedKek)
    },
    configure(conditions) {
      configured = CONDITIONS.indexOf(conditions)
    },
    compareConditions: compare,
    enrolledDevices: keyring =>
      recordsIn(keyring).map(({ memberId }) => ({ memberId, storageKeyName: Buffer.from(memberId).toString('hex') })),
    failWith(error) {
      failure = error
    },
    failOpeningWith(error) {
      openingFailure = error
    },
    asked: () => ({ ...asked }),
    keks,
    async withLocalMember({ knownIn }, use) {
      asked.toEnrol += 1
      if (failure !== undefined) throw failure
      const known = knownIn === undefined ? [] : recordsIn(knownIn)
      if (known.length > 0) assertKnown(known)
      return await use(member())
    },
    async withRecordedMember(keyring, _signal, use) {
      const sealId = findSeal(keyring, name)?.sealId
      const records = recordsIn(keyring)
      if (sealId === undefined || records.length === 0) throw new KeyringError('KEYRING_NO_RECORD', `none for ${name}`)
      asked.toOpen += 1
      if (failure !== undefined) throw failure
      assertKnown(records)
      return await use(member(), sealId)
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }

  function recordsIn(keyring: Keyring): readonly KeyringRecord[] {
    const sealId = findSeal(keyring, name)?.sealId
    return keyring.records.filter(record => sealId !== undefined && Buffer.compare(record.sealId, sealId) === 0)
  }

  function assertKnown(records: readonly KeyringRecord[]): void {
    if (records.some(({ memberId }) => Buffer.compare(memberId, device.memberId) === 0)) return
    throw new TpmError('TPM_REPLACED', 'this is another TPM')
  }
}

interface Device {
  readonly memberId: Uint8Array
  seal(kek: Secret): Uint8Array
  unseal(sealedKek: Uint8Array): Secret
}

function deviceNamed(name: string): Device {
  const key = createHash('sha256').update(`key of ${name}`).digest()
  return {
    memberId: Uint8Array.from(createHash('sha256').update(`id of ${name}`).digest().subarray(0, ID_BYTES)),
    seal(kek) {
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv('aes-256-gcm', key, nonce)
      const ciphertext = kek.reveal(bytes => cipher.update(bytes))
      cipher.final()
      return Uint8Array.from([...nonce, ...ciphertext, ...cipher.getAuthTag()])
    },
    unseal(sealedKek) {
      const decipher = createDecipheriv('aes-256-gcm', key, sealedKek.subarray(0, NONCE_BYTES))
      decipher.setAuthTag(sealedKek.subarray(-TAG_BYTES))
      const kek = decipher.update(sealedKek.subarray(NONCE_BYTES, -TAG_BYTES))
      decipher.final()
      return new Secret(Uint8Array.from(kek))
    },
  }
}
