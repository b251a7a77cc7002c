import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import { decodeKeyring, encodeKeyring, type Keyring, type OpenKeyring, type OpenOptions } from '@sealwright/keyring'
import { agentLock, openKeyringStore } from '@sealwright/node-seals'
import { errorCodeOf, hasErrorCode } from '@sealwright/system-error'
import { type SealAttempt } from '@sealwright/unseal'
import { type Custody, keyringCustody } from '../keyring/custody.ts'
import { type FakeSeal } from './fake-seal.ts'
import { begun, rotated } from './keyrings.ts'
import { quietMetrics, quietReporter } from './quiet.ts'

const NO_AAD = new Uint8Array()

/** A node with a custody over a real store. */
export interface TestNode extends AsyncDisposable {
  readonly storePath: string
  readonly custody: Custody
  /** What was told of keyrings that were not taken, of ones that were not stored, and of our own failures. */
  readonly refused: readonly unknown[]
  readonly notStored: readonly unknown[]
  readonly broken: readonly unknown[]
  /** All tries of seals that count for their health. */
  readonly attempts: readonly SealAttempt[]
  /** Asks every seal once, as a start or a probe does. */
  tryToOpen(): Promise<void>
  /** What is held; throws if nothing is. */
  held(): OpenKeyring
  /** What the store has; `undefined` if there is none, or no file of a keyring in it. */
  stored(): Promise<Uint8Array | undefined>
  storedKeyring(): Promise<Keyring>
  /** Writes a keyring into the store, as another process does. */
  store(keyring: Keyring): Promise<void>
  absorb(bytes: Uint8Array): ReturnType<Custody['absorb']>
  rotate(): Promise<OpenKeyring>
  /** Waits until all that was to be written so far is written, or was told of. Asks a seal. */
  settle(): Promise<void>
}

export interface TestNodeOptions {
  /** Where its store is, or is to be. */
  readonly storePath: string
  readonly seals: readonly FakeSeal[]
  readonly clusterId?: Uint8Array
  /** What every keyring that is held must be able to do. */
  readonly opening?: OpenOptions
}

/** Makes a node that has opened nothing yet. */
export function testNode({ storePath, seals, clusterId, opening = {} }: TestNodeOptions): TestNode {
  const stop = new AbortController()
  const { signal } = stop
  const lock = agentLock(storePath)
  const refused: unknown[] = []
  const notStored: unknown[] = []
  const broken: unknown[] = []
  const attempts: SealAttempt[] = []
  const custody = keyringCustody({
    ...{ storePath, lock, signal, opening, clusterId: () => clusterId, onChanged: () => undefined },
    seals: () => seals,
    log: pino({ level: 'silent' }),
    metrics: quietMetrics(),
    report: {
      ...quietReporter(),
      attempt: attempt => attempts.push(attempt),
      keyringRefused: cause => refused.push(cause),
      keyringNotStored: cause => notStored.push(cause),
      internalFailure: (_during, cause) => broken.push(cause),
    },
  })
  const held = (): OpenKeyring => {
    const { key } = custody.holder.held() ?? {}
    if (key === undefined) throw new Error('no keyring is held')
    return key
  }
  const stored = async (): Promise<Uint8Array | undefined> => {
    try {
      return Uint8Array.from(await readFile(join(storePath, 'keyring')))
    } catch (error) {
      if (hasErrorCode(error, 'ENOENT')) return undefined
      throw error
    }
  }
  return {
    ...{ storePath, custody, refused, notStored, broken, attempts, held, stored },
    tryToOpen: () => custody.holder.probe(signal),
    async storedKeyring() {
      return decodeKeyring((await stored()) ?? NO_AAD)
    },
    async store(keyring) {
      await using store = await openKeyringStore(storePath, { create: true })
      const expectedCurrent = await store.readKeyring()
      await store.writeKeyring({
        bytes: encodeKeyring(keyring),
        expectedCurrent,
        prove: () => Promise.resolve(),
        signal,
      })
    },
    absorb: bytes => custody.absorb(bytes, signal),
    rotate: () => custody.change(rotated, signal),
    async settle() {
      // A change waits for its turn with the store. This one is refused then: it is of another cluster.
      const other = await begun(seals, 'of nobody')
      const code = await custody.change(() => other, signal).then(() => undefined, errorCodeOf)
      if (code !== 'KEYRING_OTHER_CLUSTER') throw new Error(`not settled: ${String(code)}`)
    },
    async [Symbol.asyncDispose]() {
      stop.abort()
      custody.close()
      await lock[Symbol.asyncDispose]()
    },
  }
}

/** A blob of OpenBao under what is held. */
export function blobOf(keyring: OpenKeyring, text = 'root key'): Uint8Array {
  return keyring.encryptBlob({ plaintext: Buffer.from(text), aad: NO_AAD, randomBytes })
}

/** What a blob decrypts to. */
export function textOf(keyring: OpenKeyring, blob: Uint8Array): string {
  return Buffer.from(keyring.decryptBlob({ blob, aad: NO_AAD })).toString()
}
