import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runProgramToEnd } from '@sealwright/testing-cluster'
import {
  createPluginNode,
  type EncryptedSeed,
  KmsCallError,
  kmsClient,
  type KmsClient,
  type PluginNode,
  type PluginSettings,
  startTransitOpenBao,
  type TransitOpenBao,
} from '@sealwright/testing-kms'
import { waitUntil } from '@sealwright/testing-rig'
import { bao as runBao } from './bao-command.ts'
import { mountSmallDisk } from './small-disk.ts'
import { sharedScope, testScope } from './test-scope.ts'

// What must not happen to a key, and what may happen to what a node remembers of it. Each test has a key and a plugin of its own.
const shared = sharedScope()
const scope = testScope()

const WAIT_MS = 60_000
/** Longer than any test takes: no new version becomes active by its age. */
const LONG_DELAY = { stableObservations: 2, activationDelayMs: 600_000 }

let openBao: TransitOpenBao
let keyCount = 0

beforeAll(async () => {
  openBao = shared.use(await startTransitOpenBao({ directory: shared.folder.join('bao') }))
  const may = (path: string, capability: string) => `path "transit/${path}/*" { capabilities = ["${capability}"] }\n`
  await openBao.writePolicy([may('encrypt', 'update'), may('decrypt', 'update'), may('keys', 'read')].join(''))
}, 120_000)

const WITH_BACKUPS = { deletion_allowed: true, exportable: true, allow_plaintext_backup: true }

/** A key in OpenBao, and what its operators do to it. */
interface Key {
  readonly name: string
  readonly create: () => Promise<void>
  readonly remove: () => Promise<void>
  readonly rotate: () => Promise<void>
  readonly configure: (fields: Readonly<Record<string, unknown>>) => Promise<void>
  readonly softDelete: (isDeleted: boolean) => Promise<void>
  readonly backUp: () => Promise<string>
  readonly restore: (backup: string) => Promise<void>
  /** When version 1 was made, in seconds since 1970. */
  readonly madeAtSeconds: () => Promise<number>
}

function newKey(): Key {
  const name = `life-${(keyCount += 1)}`
  const path = `transit/keys/${name}`
  const key: Key = {
    name,
    create: async () => {
      await openBao.administer({ method: 'POST', path, body: { type: 'aes256-gcm96' } })
    },
    remove: async () => {
      await key.configure({ deletion_allowed: true })
      await openBao.administer({ method: 'DELETE', path })
    },
    rotate: async () => {
      await openBao.administer({ method: 'POST', path: `${path}/rotate` })
    },
    configure: async body => {
      await openBao.administer({ method: 'POST', path: `${path}/config`, body })
    },
    softDelete: async isDeleted => {
      if (isDeleted) await openBao.administer({ method: 'DELETE', path: `${path}/soft-delete` })
      else await openBao.administer({ method: 'POST', path: `${path}/soft-delete-restore` })
    },
    backUp: async () => {
      const { body } = await openBao.administer({ path: `transit/backup/${name}` })
      return (body as { readonly data: { readonly backup: string } }).data.backup
    },
    restore: async backup => {
      const body = { backup, force: true }
      await openBao.administer({ method: 'POST', path: `transit/restore/${name}`, body })
    },
    madeAtSeconds: async () => {
      const { body } = await openBao.administer({ path })
      const made = (body as { readonly data: { readonly keys: Readonly<Record<string, number>> } }).data.keys['1']
      if (made === undefined) throw new Error(`${name} has no version 1`)
      return made
    },
  }
  return key
}

/** A plugin on a key, and what kube-apiserver gets from it. */
interface Subject {
  readonly plugin: PluginNode
  readonly client: KmsClient
  readonly statePath: string
  readonly encrypt: () => Promise<Seed>
  /** Key id and health, or code and words of the refusal. */
  readonly status: () => Promise<string>
  /** `OK`, or code and words of the refusal. */
  readonly encrypts: () => Promise<string>
  readonly decrypts: (seed: Seed) => Promise<string>
  readonly waitFor: (ask: () => Promise<string>, said: string | RegExp) => Promise<void>
  readonly adoptKey: (...args: readonly string[]) => ReturnType<typeof runProgramToEnd>
}

interface Seed extends EncryptedSeed {
  readonly plaintext: Uint8Array
}

async function pluginOn(key: Pick<Key, 'name'>, settings: PluginSettings = {}): Promise<Subject> {
  const name = `plugin-${key.name}`
  const backend = openBao.backend({ keyName: key.name })
  const plugin = scope.use(await createPluginNode({ directory: scope.folder.join(name), name, backend, ...settings }))
  const client = kmsClient(plugin.socketPath)
  scope.afterwards(() => {
    client.close()
  })
  const said = async (ask: () => Promise<string>): Promise<string> => {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof KmsCallError)) throw error
      return `${error.code}: ${error.message}`
    }
  }
  const encrypt = async (): Promise<Seed> => {
    const plaintext = randomBytes(32)
    return { ...(await client.encrypt(plaintext)), plaintext }
  }
  return {
    ...{ plugin, client, encrypt, statePath: join(plugin.stateDirectory, 'kms-state.json') },
    status: async () =>
      await said(async () => {
        const { keyId, healthz } = await client.status()
        return `${keyId} ${healthz}`
      }),
    encrypts: async () =>
      await said(async () => {
        await encrypt()
        return 'OK'
      }),
    decrypts: async seed =>
      await said(async () =>
        Buffer.from(await client.decrypt(seed)).equals(seed.plaintext) ? 'OK' : 'other bytes than were encrypted',
      ),
    waitFor: async (ask, wanted) => {
      let last = ''
      await waitUntil(
        async () => {
          last = await ask()
          return typeof wanted === 'string' ? last === wanted : wanted.test(last)
        },
        {
          ...{ what: String(wanted), timeoutMs: WAIT_MS },
          describe: () => `it said ${last}\n${plugin.process().logTail()}`,
        },
      )
    },
    adoptKey: async (...args) =>
      await runProgramToEnd('sealctl', ['kms', 'adopt-key', ...args, '--config', plugin.configPath]),
  }
}

/** The same, on a new key, when it serves. */
async function running(settings: PluginSettings = {}): Promise<{ readonly key: Key; readonly subject: Subject }> {
  const key = newKey()
  await key.create()
  const subject = await pluginOn(key, settings)
  await subject.plugin.start()
  await subject.plugin.waitUntilReady()
  return { key, subject }
}

const REPLACED = /^FAILED_PRECONDITION: KMS_KEY_GONE: version 1 of the key is not the one that it was/
const MISSING = /^FAILED_PRECONDITION: KMS_KEY_GONE: the key is not there, or cannot be used/
const OTHER_KEY = /^FAILED_PRECONDITION: this was encrypted by a key that the backend does not have any more/

describe('a key that is deleted', () => {
  it('and made anew encrypts nothing more, and Status names it to nobody; all goes on by itself when the old one is back', async () => {
    const { key, subject } = await running()
    await key.configure(WITH_BACKUPS)
    const [seed, backup] = [await subject.encrypt(), await key.backUp()]
    await key.remove()
    await subject.waitFor(subject.status, MISSING)
    await nextSecond()
    await key.create()
    await subject.waitFor(subject.status, REPLACED)
    expect(await subject.encrypts()).toMatch(REPLACED)
    expect(await subject.decrypts(seed)).toMatch(OTHER_KEY)
    expect((await subject.plugin.ask('/readyz')).text).toMatch(/^KMS_KEY_GONE: version 1 of the key/)

    await key.restore(backup)
    await subject.waitFor(subject.status, `${seed.keyId} ok`)
    expect([await subject.encrypts(), await subject.decrypts(seed)]).toEqual(['OK', 'OK'])
  })

  it('and made anew within the same second is found out by what it does not decrypt, and taken only once it is rotated', async () => {
    const { key, subject, seed } = await replacedWithinASecond()
    await subject.waitFor(subject.status, REPLACED)
    expect(await subject.decrypts(seed)).toMatch(OTHER_KEY)
    expect(await subject.encrypts()).toMatch(REPLACED)

    await subject.plugin.stop()
    expect(await subject.adoptKey('--yes')).toMatchObject({ exitCode: 0 })
    await subject.plugin.start()
    await subject.waitFor(subject.status, /^FAILED_PRECONDITION: KMS_KEY_GONE: version 1 .* rotate the key$/)
    expect(await subject.encrypts()).toContain('rotate the key')
    await key.rotate()
    await subject.waitFor(subject.status, / ok$/)
    const after = await subject.encrypt()
    expect(after.keyId).not.toBe(seed.keyId)
    expect(await subject.decrypts(after)).toBe('OK')
    expect(await subject.decrypts(seed)).toMatch(OTHER_KEY)
  })

  it('is given up for the new one by sealctl, which refuses while the plugin runs; the old one may still come back', async () => {
    const { key, subject } = await running()
    await key.configure(WITH_BACKUPS)
    const [seed, backup] = [await subject.encrypt(), await key.backUp()]
    await key.remove()
    await subject.waitFor(subject.status, MISSING)
    await nextSecond()
    await key.create()
    await subject.waitFor(subject.status, REPLACED)
    const refused = await subject.adoptKey('--yes')
    expect(refused).toMatchObject({
      exitCode: 4,
      stderr: expect.stringContaining('KMS_COMMAND_PLUGIN_RUNS') as unknown,
    })

    await subject.plugin.stop()
    expect(await subject.adoptKey()).toMatchObject({
      ...{ exitCode: 5, stdout: expect.stringContaining(seed.keyId) as unknown },
    })
    expect(await subject.adoptKey('--yes')).toMatchObject({ exitCode: 0 })
    await subject.plugin.start()
    await subject.waitFor(subject.status, / ok$/)
    const after = await subject.encrypt()
    expect(after.keyId).not.toBe(seed.keyId)
    expect([await subject.decrypts(after), await subject.decrypts(seed)]).toEqual([
      'OK',
      expect.stringMatching(OTHER_KEY),
    ])

    await key.restore(backup)
    await subject.waitFor(subject.status, REPLACED)
    expect(await subject.decrypts(seed)).toBe('OK')
  })

  it('softly stops what is written by it, until it is restored', async () => {
    const { key, subject } = await running()
    const seed = await subject.encrypt()
    await key.softDelete(true)
    await subject.waitFor(subject.status, MISSING)
    expect(await subject.encrypts()).toMatch(MISSING)
    await key.softDelete(false)
    await subject.waitFor(subject.status, `${seed.keyId} ok`)
    expect([await subject.encrypts(), await subject.decrypts(seed)]).toEqual(['OK', 'OK'])
  })
})

describe('a version that is taken away', () => {
  it('by a minimum above the active one gives way to the next at once, and decrypts again when the minimum is lowered', async () => {
    const { key, subject } = await running({ rotation: LONG_DELAY })
    const seed = await subject.encrypt()
    await key.rotate()
    await key.configure({ min_decryption_version: 2 })
    await subject.waitFor(subject.status, new RegExp(`^(?!${seed.keyId.replaceAll('.', '\\.')}).* ok$`))
    const after = await subject.encrypt()
    expect(await subject.decrypts(seed)).toMatch(/^FAILED_PRECONDITION: this was encrypted by a version .* retired/)
    await key.configure({ min_decryption_version: 1 })
    await subject.waitFor(async () => await subject.decrypts(seed), 'OK')
    expect(await subject.status()).toBe(`${after.keyId} ok`)
  })

  it('by an OpenBao that was restored from an older snapshot stops what is written by it; an operator may take what is left', async () => {
    const { key, subject } = await running()
    const first = await subject.encrypt()
    const snapshot = shared.folder.join('older.snap')
    await runBao(openBao.node, ['operator', 'raft', 'snapshot', 'save', snapshot], openBao.rootToken)
    await key.rotate()
    await subject.waitFor(subject.status, new RegExp(`^(?!${first.keyId.replaceAll('.', '\\.')}).* ok$`))
    const second = await subject.encrypt()
    await runBao(openBao.node, ['operator', 'raft', 'snapshot', 'restore', '-force', snapshot], openBao.rootToken)
    await subject.waitFor(
      subject.status,
      /^FAILED_PRECONDITION: KMS_KEY_GONE: the newest version of the key is 1, and was 2/,
    )
    expect(await subject.encrypts()).toMatch(/^FAILED_PRECONDITION: KMS_KEY_GONE/)
    expect(await subject.decrypts(first)).toBe('OK')
    expect(await subject.decrypts(second)).toMatch(/^UNAVAILABLE: OpenBao does not have this version of the key/)

    await subject.plugin.stop()
    expect(await subject.adoptKey('--yes')).toMatchObject({ exitCode: 0 })
    await subject.plugin.start()
    await subject.waitFor(subject.status, `${first.keyId} ok`)
    expect([await subject.encrypts(), await subject.decrypts(first)]).toEqual(['OK', 'OK'])
    // A version of the same number, of another second, is another one.
    await nextSecond()
    await key.rotate()
    await subject.waitFor(subject.status, new RegExp(`^(?!${first.keyId.replaceAll('.', '\\.')}).* ok$`))
    expect((await subject.encrypt()).keyId).not.toBe(second.keyId)
    expect(await subject.decrypts(second)).toMatch(OTHER_KEY)
  })
})

describe('what a node remembers', () => {
  it.each<readonly [string, (statePath: string) => Promise<unknown>, RegExp]>([
    ['is lost', statePath => rm(statePath), /^kms-state\.json$/],
    [
      'is damaged by one bit',
      async statePath => {
        const text = await readFile(statePath, 'latin1')
        const at = text.indexOf('"lineage": "') + '"lineage": "'.length
        await writeFile(statePath, text.slice(0, at) + (text[at] === '0' ? '1' : '0') + text.slice(at + 1))
      },
      /^kms-state\.json(\.damaged-\d+)?$/,
    ],
  ])('%s: the next look finds the same', async (_case, happen, left) => {
    const { subject } = await running()
    const seed = await subject.encrypt()
    await subject.plugin.stop()
    await happen(subject.statePath)
    await subject.plugin.start()
    await subject.waitFor(subject.status, `${seed.keyId} ok`)
    expect([await subject.encrypts(), await subject.decrypts(seed)]).toEqual(['OK', 'OK'])
    await waitUntil(() => existsSync(subject.statePath), { what: 'a new state', timeoutMs: WAIT_MS })
    for (const name of readdirSync(subject.plugin.stateDirectory)) expect(name).toMatch(left)
  })

  it('was written by a newer program: it is left alone, and all works', async () => {
    const { subject } = await running()
    const seed = await subject.encrypt()
    await subject.plugin.stop()
    const newer = (await readFile(subject.statePath, 'utf8')).replace('"formatVersion": 1', '"formatVersion": 2')
    await writeFile(subject.statePath, newer)
    await subject.plugin.start()
    await subject.waitFor(subject.status, `${seed.keyId} ok`)
    expect(await subject.decrypts(seed)).toBe('OK')
    expect(await readFile(subject.statePath, 'utf8')).toBe(newer)
  })

  it('cannot be written: all works, the metrics say so, and it is written once that is possible', async () => {
    const disk = scope.use(await mountSmallDisk(scope.folder.join('disk')))
    const key = newKey()
    await key.create()
    const subject = await pluginOn(key)
    const config = JSON.parse(await readFile(subject.plugin.configPath, 'utf8')) as object
    const stateDirectory = join(disk.path, 'state')
    await writeFile(subject.plugin.configPath, JSON.stringify({ ...config, stateDirectory }))
    const written = async () =>
      /^sealwright_kms_state_written (\d)$/m.exec((await subject.plugin.ask('/metrics')).text)?.[1]
    await disk.setReadOnly(true)
    await subject.plugin.start()
    await subject.plugin.waitUntilReady()
    expect(await subject.decrypts(await subject.encrypt())).toBe('OK')
    expect(await written()).toBe('0')
    await disk.setReadOnly(false)
    await waitUntil(async () => (await written()) === '1', { what: 'the state to be written', timeoutMs: WAIT_MS })
    expect(existsSync(join(stateDirectory, 'kms-state.json'))).toBe(true)
    await subject.plugin.stop()
  })

  it('is of another cluster: the plugin does not start', async () => {
    const { subject } = await running()
    await subject.plugin.stop()
    await subject.plugin.configure({ clusterId: 'other' })
    await subject.plugin.start({ until: 'nothing' })
    expect(await subject.plugin.process().exited).toMatchObject({ code: 2 })
    expect(subject.plugin.process().logTail()).toContain('KMS_STATE_OTHER_KEY')
  })
})

describe('a plugin', () => {
  it('that is restarted while OpenBao is away is there at once, refuses quickly, and goes on by itself', async () => {
    const { subject } = await running()
    const seed = await subject.encrypt()
    await openBao.node.stop()
    await subject.plugin.stop()
    await subject.plugin.start()
    const startedAtMs = performance.now()
    expect(await subject.decrypts(seed)).toMatch(/^UNAVAILABLE: OpenBao is not available/)
    expect(await subject.encrypts()).toMatch(/^UNAVAILABLE: the key was not looked at since .* this ends by itself/)
    expect(performance.now() - startedAtMs).toBeLessThan(3_000)
    expect(await subject.status()).toMatch(new RegExp(`^${seed.keyId.replaceAll('.', '\\.')} KMS_`))
    await openBao.node.start({ until: 'active' })
    await subject.waitFor(subject.status, `${seed.keyId} ok`)
    expect([await subject.encrypts(), await subject.decrypts(seed)]).toEqual(['OK', 'OK'])
  })

  it('that starts for the first time while OpenBao is away has no socket until OpenBao is there', async () => {
    const key = newKey()
    await key.create()
    const subject = await pluginOn(key)
    await openBao.node.stop()
    await subject.plugin.start({ until: 'nothing' })
    await waitUntil(async () => (await readyz(subject)).startsWith('KMS_BACKEND_UNAVAILABLE'), {
      ...{ what: 'it to say what it waits for', timeoutMs: WAIT_MS },
    })
    expect(existsSync(subject.plugin.socketPath)).toBe(false)
    await openBao.node.start({ until: 'active' })
    await waitUntil(() => existsSync(subject.plugin.socketPath), { what: 'the socket', timeoutMs: WAIT_MS })
    expect(await subject.decrypts(await subject.encrypt())).toBe('OK')
  })

  it('that is killed under load, again and again, loses nothing that it has handed out', async () => {
    const { subject } = await running()
    const seeds: Seed[] = []
    for (let kills = 1; kills <= 3; kills += 1) {
      const wanted = seeds.length + 100
      const callers = Array.from({ length: 8 }, async () => {
        while (subject.plugin.process().end() === undefined) {
          try {
            seeds.push(await subject.encrypt())
          } catch (error) {
            if (!(error instanceof KmsCallError)) throw error
          }
        }
      })
      await waitUntil(() => seeds.length >= wanted, { what: `${wanted} seeds`, timeoutMs: WAIT_MS })
      subject.plugin.kill('SIGKILL')
      await subject.plugin.process().exited
      await Promise.all(callers)
      await subject.plugin.start()
      await subject.waitFor(subject.encrypts, 'OK')
    }
    const outcomes = await Promise.all(seeds.map(async seed => await subject.decrypts(seed)))
    expect(new Set(outcomes)).toEqual(new Set(['OK']))
    expect(readdirSync(subject.plugin.stateDirectory)).toEqual(['kms-state.json'])
  })
})

/** The dates of keys count seconds: what is made from then on has another one. */
async function nextSecond(): Promise<void> {
  const secondOf = () => Math.floor(Date.now() / 1_000)
  const now = secondOf()
  await waitUntil(() => secondOf() > now, { what: 'the next second', timeoutMs: 5_000, intervalMs: 5 })
}

async function readyz({ plugin }: Subject): Promise<string> {
  return existsSync(plugin.statusSocketPath) ? (await plugin.ask('/readyz')).text : ''
}

/** A key that was seen, used, deleted and made anew within one second: as often as it takes to happen. */
async function replacedWithinASecond(): Promise<{ readonly key: Key; readonly subject: Subject; readonly seed: Seed }> {
  for (;;) {
    const key = newKey()
    const subject = await pluginOn(key, { probe: { intervalMs: 100, retryIntervalMs: 10 } })
    await subject.plugin.start({ until: 'nothing' })
    await waitUntil(async () => (await readyz(subject)) !== '', { what: 'the plugin to look', timeoutMs: WAIT_MS })
    await nextSecond()
    await key.create()
    const before = await key.madeAtSeconds()
    await waitUntil(() => existsSync(subject.plugin.socketPath), {
      ...{ what: 'the plugin to serve', timeoutMs: WAIT_MS, intervalMs: 5 },
    })
    const seed = await subject.encrypt()
    await key.remove()
    await key.create()
    if ((await key.madeAtSeconds()) === before) return { key, subject, seed }
    await subject.plugin.stop()
  }
}
