import { randomBytes } from 'node:crypto'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  activateGeneration,
  addGeneration,
  decodeKeyring,
  encodeKeyring,
  type Keyring,
  KEY_BYTES,
  matchSealKey,
} from '@sealwright/keyring'
import { Secret } from '@sealwright/secret'
import { TpmError } from '@sealwright/tpm'
import { bootstrap, type BootstrapInput, type BootstrapReport } from '../bootstrap.ts'
import { fakeSeal, type FakeSeal } from './fake-seal.ts'
import { tempFolder } from './temp-folder.ts'

/** What a seal fails with whose TPM is late: it will pass. */
export const absent = new TpmError('TPM_UNREACHABLE', 'nothing answers at /dev/tpmrm0')
/** What a seal fails with whose TPM has a trouble that will not pass. */
export const refused = new TpmError('TPM_RC', 'TPM2_Create failed with TPM_RC_VALUE', { rc: 0x84 })

/** What an operator allows who has put in another TPM. */
export const newTpm = { permissions: { newTpm: true, reseal: false } }
/** What an operator allows who has updated the machine. */
export const reseal = { permissions: { newTpm: false, reseal: true } }

/** In a report: the seal `tpm` opens. */
export const opens = { name: 'tpm', state: 'opens' }

/** In a report: a seal fails with `code`. */
export function fails(code: string, name = 'tpm'): unknown {
  return { name, state: 'fails', failure: failure(code) }
}

/** An error with `code` and a message like that. */
export function failure(code: string, message = /./): unknown {
  return expect.objectContaining({ code, message: expect.stringMatching(message) as unknown })
}

/** A node to bootstrap: a place for a store, a seal key and a seal of its own. */
export interface TestNode extends AsyncDisposable {
  readonly storePath: string
  readonly sealKey: Secret
  readonly seal: FakeSeal
  /** Bootstraps it with its seal and its key, unless the test wants something else. */
  run(change?: Partial<BootstrapInput>): Promise<BootstrapReport>
  /** Every file of the store with its content and the time of its last change; `undefined` if there is no store. */
  storeNow(): Promise<Readonly<Record<string, unknown>> | undefined>
  storedKeyring(): Promise<Keyring>
  /** Puts a keyring into the store, as an agent does. */
  put(keyring: Keyring): Promise<void>
  /** Stores a keyring with one more generation, as a rotation will, and returns its seal key. */
  rotate(): Promise<Secret>
}

/** Makes a node with nothing in its store. */
export async function testNode({ seal = fakeSeal() } = {}): Promise<TestNode> {
  const folder = await tempFolder()
  const storePath = join(folder.path, 'seal')
  const sealKey = new Secret(Uint8Array.from(randomBytes(KEY_BYTES)))
  const storedKeyring = async () => decodeKeyring(await readFile(join(storePath, 'keyring')))
  const put = (keyring: Keyring) => writeFile(join(storePath, 'keyring'), encodeKeyring(keyring))
  return {
    storePath,
    sealKey,
    seal,
    run: change =>
      bootstrap({
        storePath,
        tightenModes: false,
        seals: [seal],
        handedKey: { sealKey, keyId: undefined },
        permissions: { newTpm: false, reseal: false },
        handedKeyPath: '/run/secrets/bootstrap',
        label: 'node-1',
        now: Date.now,
        randomBytes,
        signal: new AbortController().signal,
        ...change,
      }),
    async storeNow() {
      const names = await readdir(storePath).catch(() => undefined)
      if (names === undefined) return undefined
      const files = names.sort().map(async name => {
        const path = join(storePath, name)
        const { mtimeNs, ino } = await stat(path, { bigint: true })
        return [name, { hex: (await readFile(path)).toString('hex'), mtimeNs, ino }] as const
      })
      return Object.fromEntries(await Promise.all(files))
    },
    storedKeyring,
    put,
    async rotate() {
      const keyring = await storedKeyring()
      const sealKeys = matchSealKey({ keyring, sealKey })
      const next = addGeneration({ keyring, sealKeys, step: 'chained', randomBytes })
      const held = sealKeys.with(next.generation.id, next.sealKey.clone())
      const rotated = activateGeneration({ keyring: next.keyring, sealKeys: held, id: next.generation.id })
      held.wipe()
      await put(rotated)
      return next.sealKey
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

/** The numbers of the generations that a keyring has records of, in ascending order. */
export function recordedGenerations(keyring: Keyring): readonly number[] {
  return keyring.generations
    .filter(({ id }) => keyring.records.some(({ generationId }) => Buffer.compare(generationId, id) === 0))
    .map(({ number }) => number)
}
