import { randomBytes } from 'node:crypto'
import {
  createPluginNode,
  type EncryptedSeed,
  kmsClient,
  KmsCallError,
  type PluginNode,
  type PluginSettings,
} from '@sealwright/testing-kms'
import { waitUntil } from '@sealwright/testing-rig'
import { type TestScope } from './test-scope.ts'

/** A plugin under test as kube-apiserver and an operator see it, with a seed that it encrypted while all was well. */
export interface KmsSubject {
  readonly plugin: PluginNode
  /** Of the seed. */
  readonly keyId: string
  /** What becomes of one call: `OK`, or code and text as kube-apiserver gets them. `OK` means that the right bytes came, too. */
  readonly encrypt: (timeoutMs?: number) => Promise<string>
  /** Of the seed from before. */
  readonly decrypt: (timeoutMs?: number) => Promise<string>
  /** Answers the health of Status. Throws if its key id is another one than before. */
  readonly health: () => Promise<string>
  readonly readyz: () => Promise<string>
  /** The value of one line of `/metrics`, by its name and labels; 0 where it is not there. */
  readonly metric: (line: string) => Promise<number>
  /** Waits until a call ends so; gives how long that took. */
  readonly waitForDecrypt: (outcome: string) => Promise<number>
  /** Waits until kube-apiserver and operator hear that all is well. */
  readonly waitUntilWell: () => Promise<void>
  /** Waits until both hear this. */
  readonly waitUntilIll: (health: string) => Promise<void>
}

export interface SubjectOptions extends PluginSettings {
  readonly backend: Readonly<Record<string, unknown>>
  /** What must stand in no text for kube-apiserver: addresses, keys, paths, tokens. */
  readonly forbidden: readonly string[]
  /** Of its folder and process. */
  readonly name?: string
}

/** What kube-apiserver gives a call. */
export const APISERVER_TIMEOUT_MS = 3_000
/** What kube-apiserver is told, word for word. */
export const UNAVAILABLE =
  'OpenBao is not available: it is down, sealed, or out of reach; this ends by itself once it is back'
export const REFUSED =
  'OpenBao does not let the KMS plugin in: its login, policy or certificates, sealctl kms doctor on its node says which'
export const NO_ANSWER = 'OpenBao did not answer in time'

const WAIT_MS = 60_000
const SEED_BYTES = 32

/** Starts a plugin on a backend that works, and has it encrypt a seed. */
export async function startSubject(scope: TestScope, options: SubjectOptions): Promise<KmsSubject> {
  const { forbidden, name = 'kms-plugin', ...settings } = options
  const plugin = scope.use(await createPluginNode({ ...settings, directory: scope.folder.join(name), name }))
  await plugin.start()
  return await watchSubject(scope, plugin, [...forbidden, plugin.socketPath, plugin.stateDirectory])
}

/** The same for a plugin that serves already. */
export async function watchSubject(
  scope: TestScope,
  plugin: PluginNode,
  forbidden: readonly string[],
): Promise<KmsSubject> {
  const client = kmsClient(plugin.socketPath)
  scope.afterwards(() => {
    client.close()
  })
  const seed = randomBytes(SEED_BYTES)
  const encrypted = await client.encrypt(seed)
  const { keyId } = encrypted

  /** Whatever they are told. */
  const assertDiscreet = (text: string): string => {
    const found = forbidden.find(secret => text.includes(secret))
    if (found !== undefined) throw new Error(`${JSON.stringify(text)} names ${JSON.stringify(found)}`)
    return text
  }
  const outcomeOf = async (call: Promise<boolean>): Promise<string> => {
    try {
      return (await call) ? 'OK' : 'other bytes than were encrypted'
    } catch (error) {
      if (!(error instanceof KmsCallError)) throw error
      return assertDiscreet(`${error.code}: ${error.message}`)
    }
  }
  const decrypts = async (what: EncryptedSeed, timeoutMs: number): Promise<boolean> =>
    Buffer.from(await client.decrypt(what, { timeoutMs })).equals(seed)

  const subject: KmsSubject = {
    plugin,
    keyId,
    encrypt: async (timeoutMs = APISERVER_TIMEOUT_MS) =>
      await outcomeOf(client.encrypt(seed, { timeoutMs }).then(made => made.keyId === keyId)),
    decrypt: async (timeoutMs = APISERVER_TIMEOUT_MS) => await outcomeOf(decrypts(encrypted, timeoutMs)),
    health: async () => {
      const status = await client.status({ timeoutMs: APISERVER_TIMEOUT_MS })
      if (status.keyId !== keyId || status.version !== 'v2') throw new Error(`Status says ${JSON.stringify(status)}`)
      return assertDiscreet(status.healthz)
    },
    readyz: async () => {
      const { status, text } = await plugin.ask('/readyz')
      return assertDiscreet(`${status} ${text.trimEnd()}`)
    },
    metric: async line => {
      const { text } = await plugin.ask('/metrics')
      const found = assertDiscreet(text)
        .split('\n')
        .find(each => each.startsWith(`${line} `))
      return Number(found?.slice(line.length + 1) ?? 0)
    },
    waitForDecrypt: async outcome => {
      const startedMs = performance.now()
      let last = ''
      await waitUntil(async () => (last = await subject.decrypt()) === outcome, {
        ...{ what: `Decrypt to answer ${outcome}`, timeoutMs: WAIT_MS },
        describe: () => `it answered ${last}\n${plugin.process().logTail()}`,
      })
      return performance.now() - startedMs
    },
    waitUntilWell: async () => {
      await waitForBoth('ok', '200 ok')
    },
    waitUntilIll: async health => {
      await waitForBoth(health, `503 ${health}`)
    },
  }

  const waitForBoth = async (health: string, readyz: string): Promise<void> => {
    let last: readonly string[] = []
    await waitUntil(
      async () => {
        last = [await subject.health(), await subject.readyz()]
        return last[0] === health && last[1] === readyz
      },
      {
        ...{ what: `Status to say ${JSON.stringify(health)}`, timeoutMs: WAIT_MS },
        describe: () => `Status and /readyz said ${JSON.stringify(last)}\n${plugin.process().logTail()}`,
      },
    )
  }
  return subject
}
