import { chmod, copyFile, mkdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { pino } from 'pino'
import { KMS_POLICY, startTransitOpenBao, type TransitOpenBao } from '@sealwright/testing-kms'
import { temporaryFolder, type TemporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { runPlugin } from '../../../../kms-plugin/src/plugin.ts'
import { SEAL_CONTEXT } from '../../seal-context.ts'
import { type Outcome, runHere } from '../../testing/run-here.ts'
import { type Check } from './doctor/check.ts'
import { loadKmsConfig } from './load-config.ts'
import { renderEncryptionConfig } from './files/encryption-config.ts'
import { startStatusPlugin } from './testing/plugin-server.ts'

const START_TIMEOUT_MS = 30_000
/** So long a connection may take to be made, and so long the doctor waits for a server. */
const [CONNECT_TIMEOUT_MS, SERVER_TIMEOUT_MS] = [3_000, 5_000]

let folder: TemporaryFolder
let bao: TransitOpenBao
let plugin: RunningPlugin | undefined

beforeAll(async () => {
  folder = await temporaryFolder()
  bao = await startTransitOpenBao({ directory: folder.join('bao'), withTls: true })
})

afterAll(async () => {
  await bao[Symbol.asyncDispose]()
  await folder.remove()
})

beforeEach(async () => {
  await mkdir(folder.join('n'), { mode: 0o700 })
  await bao.writePolicy(KMS_POLICY)
  await bao.writeToken()
})

afterEach(async () => {
  await plugin?.stop()
  plugin = undefined
  await rm(folder.join('n'), { recursive: true })
})

interface RunningPlugin {
  readonly stop: () => Promise<void>
}

/** Writes a configuration of this node. */
async function configure(changes: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const path = folder.join('n/kms.yaml')
  const config = {
    ...{ clusterId: 'lab', backend: bao.backend(), socket: { path: folder.join('n/kms.sock') } },
    ...{ statusSocket: folder.join('n/status.sock'), stateDirectory: folder.join('n/state') },
    rotation: { activationDelayMs: 0, stableObservations: 1 },
    probe: { intervalMs: 200, retryIntervalMs: 50 },
    ...changes,
  }
  await writeFile(path, JSON.stringify(config), { mode: 0o600 })
  return path
}

/** Runs the plugin in this process until it serves, and remembers its key. */
async function startPlugin(path: string): Promise<void> {
  const controller = new AbortController()
  const config = await loadKmsConfig(path)
  const { pkcs11Program } = SEAL_CONTEXT
  const ended = runPlugin({ config, pkcs11Program, log: pino({ level: 'silent' }), signal: controller.signal })
  plugin = {
    stop: async () => {
      controller.abort()
      await ended
    },
  }
  const exists = async (file: string): Promise<boolean> =>
    await stat(file).then(
      () => true,
      () => false,
    )
  await waitUntil(
    async () => (await exists(config.socket.path)) && (await exists(folder.join('n/state/kms-state.json'))),
    {
      ...{ what: 'the plugin to serve', timeoutMs: START_TIMEOUT_MS },
    },
  )
}

async function kms(args: readonly string[], now = new Date()): Promise<Outcome> {
  return await runHere(['kms', ...args], { now })
}

/** What the doctor says, by the id of the check. */
async function doctor(
  path: string,
  args: readonly string[] = [],
  now = new Date(),
): Promise<{ readonly exitCode: number; readonly checks: ReadonlyMap<string, Check>; readonly all: readonly Check[] }> {
  const { exitCode, stdout, stderr } = await kms(['doctor', '--config', path, '--json', ...args], now)
  expect(stderr).toBe('')
  const { checks } = JSON.parse(stdout) as { readonly checks: readonly Check[] }
  return { exitCode, all: checks, checks: new Map(checks.map(check => [check.id, check])) }
}

const of = (outcome: string, found: string): object => ({
  ...{ outcome, found: expect.stringContaining(found) as string },
})

describe('sealctl kms doctor', () => {
  it('finds nothing wrong where nothing is', async () => {
    const path = await configure()
    await startPlugin(path)
    const encryption = folder.join('n/encryption.yaml')
    const config = await loadKmsConfig(path)
    const first = renderEncryptionConfig(config, { name: 'sealwright', resources: [], stage: 'first' })
    await writeFile(folder.join('n/first.yaml'), first)
    const args = ['--config', path, '--from', folder.join('n/first.yaml'), '--output', encryption]
    expect(await kms(['encryption-config', '--final', ...args])).toMatchObject({ exitCode: 0 })
    const { exitCode, all } = await doctor(path, ['--encryption-config', encryption])
    // What starts the plugin on this machine is not known here; the authority of the rig has 30 days.
    const told = all.filter(
      ({ id, outcome }) => outcome !== 'passed' && id !== 'starts-with-node' && id !== 'tls-expiry',
    )
    expect(told).toEqual([])
    expect([0, 3]).toContain(exitCode)
    expect(all.map(({ id }) => id)).toEqual(
      expect.arrayContaining([
        ...['config-readable', 'credential-files', 'login-without-cluster', 'starts-with-node', 'tls-expiry'],
        ...[
          'socket-answers',
          'socket-mode',
          'status-ok',
          'round-trip',
          'damage-refused',
          'status-socket',
          'state-file',
        ],
        ...['backend-reachable/0', 'clock', 'login', 'token-no-default-policy', 'policy-too-wide', 'policy-encrypt'],
        ...['policy-decrypt', 'policy-keys-read', 'key-type', 'key-not-exportable', 'key-deletion-not-allowed'],
        ...['key-auto-rotate', 'key-id-matches-backend', 'encryption-config'],
      ]),
    )
    const { stdout } = await kms(['doctor', '--config', path])
    expect(stdout).toContain('ok       round-trip: encrypted and decrypted in ')
    expect(stdout).toMatch(/\n0 failed, \d warnings?, \d+ passed\n$/)
  })

  it('says what is wrong with the configuration, and stops there', async () => {
    const path = await configure({ clusterid: 'x' })
    const { exitCode, all } = await doctor(path)
    expect(exitCode).toBe(2)
    expect(all).toEqual([expect.objectContaining({ id: 'config-readable', ...of('failed', 'clusterid') })])
  })

  it('says that the plugin does not run, and looks at all the rest', async () => {
    const { exitCode, checks } = await doctor(await configure())
    expect(exitCode).toBe(2)
    expect(checks.get('socket-answers')).toMatchObject(of('failed', 'KMS_PLUGIN_UNREACHABLE'))
    expect(checks.get('round-trip')).toMatchObject({ outcome: 'skipped' })
    expect(checks.get('state-file')).toMatchObject(of('warning', 'is not there'))
    expect(checks.get('policy-decrypt')).toMatchObject(of('passed', 'version 1 decrypts'))
  })

  it('says that something else answers on the socket', async () => {
    const path = await configure()
    const server = createServer(socket => {
      socket
        .on('error', () => socket.destroy())
        .resume()
        .end('HTTP/1.1 400 Bad Request\r\n\r\n')
    })
    await new Promise<void>(resolve => {
      server.listen(folder.join('n/kms.sock'), () => {
        resolve()
      })
    })
    const { checks } = await doctor(path)
    await new Promise(resolve => server.close(resolve))
    expect(checks.get('socket-answers')).toMatchObject({ outcome: 'failed' })
    // It was made with the usual mask.
    expect(checks.get('socket-mode')).toMatchObject(of('failed', 'mode 07'))
  })

  it('sees what is too wide or too narrow in the policy', async () => {
    const path = await configure()
    await bao.writePolicy(KMS_POLICY.replace('transit/decrypt/', 'transit/nothing/'))
    const narrow = await doctor(path)
    expect(narrow.checks.get('policy-encrypt')).toMatchObject({ outcome: 'passed' })
    expect(narrow.checks.get('policy-decrypt')).toMatchObject(of('failed', 'KMS_BACKEND_REFUSED'))

    await bao.writePolicy('path "transit/*" { capabilities = ["create", "update", "read"] }')
    const wide = await doctor(path)
    expect(wide.checks.get('policy-too-wide')).toMatchObject(of('failed', 'look at other keys'))
    expect(wide.checks.get('token-no-default-policy')).toMatchObject({ outcome: 'passed' })

    await bao.writePolicy(KMS_POLICY.replace('["update"]', '["create", "update"]'))
    await bao.writeToken({ no_default_policy: false })
    const byDefault = await doctor(path)
    expect(byDefault.checks.get('token-no-default-policy')).toMatchObject(of('warning', 'twice as long'))
    expect(byDefault.checks.get('policy-too-wide')).toMatchObject(of('failed', 'may make keys by encrypting (create)'))

    await writeFile(bao.tokenFile, bao.rootToken)
    expect((await doctor(path)).checks.get('policy-too-wide')).toMatchObject(of('failed', 'root token'))
  })

  it('says that the token is not there, open to others, or refused', async () => {
    const path = await configure()
    await chmod(bao.tokenFile, 0o644)
    expect((await doctor(path)).checks.get('credential-files')).toMatchObject(of('failed', 'SECRET_FILE_UNSAFE'))
    await chmod(bao.tokenFile, 0o600)
    await writeFile(bao.tokenFile, 's.nobody')
    const refused = await doctor(path)
    expect(refused.exitCode).toBe(2)
    expect(refused.checks.get('policy-keys-read')).toMatchObject(of('failed', 'KMS_BACKEND_REFUSED'))
    await rm(bao.tokenFile)
    const gone = await doctor(path)
    expect(gone.checks.get('credential-files')).toMatchObject(of('failed', 'SECRET_FILE_UNREADABLE'))
    expect(gone.checks.get('login')).toMatchObject({ outcome: 'failed' })
  })

  it('sees how the key is kept', async () => {
    const body = { type: 'aes256-gcm96', exportable: true, allow_plaintext_backup: true, auto_rotate_period: '24h' }
    await bao.administer({ method: 'POST', path: 'transit/keys/loose', body })
    await bao.administer({ method: 'POST', path: 'transit/keys/loose/config', body: { deletion_allowed: true } })
    await bao.writePolicy(KMS_POLICY.replaceAll('/kubernetes', '/loose'))
    const { checks, exitCode } = await doctor(await configure({ backend: bao.backend({ keyName: 'loose' }) }))
    expect(checks.get('key-not-exportable')).toMatchObject(of('warning', 'exportable, allow_plaintext_backup'))
    expect(checks.get('key-deletion-not-allowed')).toMatchObject(of('warning', 'every Secret is lost'))
    expect(checks.get('key-auto-rotate')).toMatchObject({ outcome: 'note' })
    expect(exitCode).toBe(2)
  })

  it('takes an address that is away for a warning while another one serves, and for a failure if none does', async () => {
    const { node } = bao
    const one = await doctor(
      await configure({ backend: bao.backend({ addresses: ['https://127.0.0.1:1', node.apiAddress] }) }),
    )
    expect(one.checks.get('backend-reachable/0')).toMatchObject(of('warning', 'OPENBAO_UNREACHABLE'))
    expect(one.checks.get('backend-reachable/1')).toMatchObject(of('passed', 'active'))
    const none = await doctor(await configure({ backend: bao.backend({ addresses: ['https://127.0.0.1:1'] }) }))
    expect(none.checks.get('backend-reachable/0')).toMatchObject(of('failed', 'OPENBAO_UNREACHABLE'))
    expect(none.checks.get('login')).toMatchObject({ outcome: 'skipped' })
  })

  it('ends as told while a server does not answer, and takes nothing that it has cut short for a failure', async () => {
    const interrupted = new AbortController()
    const reason = new Error('stopped by SIGINT')
    const sockets = new Set<Socket>()
    let abortedAtMs = 0
    const silent = createServer(socket => {
      sockets.add(socket)
      if (sockets.size > 1) return
      abortedAtMs = performance.now()
      interrupted.abort(reason)
    })
    await new Promise<void>(resolve => silent.listen(0, '127.0.0.1', resolve))
    try {
      const { port } = silent.address() as AddressInfo
      const path = await configure({ backend: bao.backend({ addresses: [`https://127.0.0.1:${port}`] }) })
      const run = runHere(['kms', 'doctor', '--config', path], { signal: interrupted.signal })
      await expect(run).rejects.toBe(reason)
      // The connection that was being made is waited for, and no other one.
      expect(performance.now() - abortedAtMs).toBeLessThan(CONNECT_TIMEOUT_MS + SERVER_TIMEOUT_MS)
    } finally {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => silent.close(resolve))
    }
  })

  it('sees clocks that differ, and certificates that end', async () => {
    const path = await configure()
    const inMs = async (ms: number) => await doctor(path, [], new Date(Date.now() + ms))
    expect((await inMs(20_000)).checks.get('clock')).toMatchObject({ outcome: 'failed' })
    const patient = await configure({ rotation: { activationDelayMs: 300_000 } })
    expect((await doctor(patient, [], new Date(Date.now() + 20_000))).checks.get('clock')).toMatchObject({
      outcome: 'warning',
    })
    const monthLater = await inMs(40 * 86_400_000)
    expect(monthLater.all.filter(({ id }) => id === 'tls-expiry')).toMatchObject([
      of('failed', 'lab-ca.crt'),
      of('failed', bao.node.apiAddress),
    ])
  })

  it('says that the plugin runs with another cluster id than the configuration has', async () => {
    await startPlugin(await configure())
    const { checks } = await doctor(await configure({ clusterId: 'other' }))
    expect(checks.get('key-id-matches-backend')).toMatchObject(of('failed', 'no version of this key'))
    expect(checks.get('state-file')).toMatchObject(of('failed', 'is of cluster lab'))
  })

  it('warns of a login that waits for the API server', async () => {
    const auth = { method: 'kubernetes', role: 'kms', jwtFile: bao.tokenFile }
    const { checks } = await doctor(await configure({ backend: bao.backend({ auth }) }))
    expect(checks.get('login-without-cluster')).toMatchObject(of('warning', 'asks the API server'))
    expect(checks.get('login')).toMatchObject(of('failed', 'OPENBAO_'))
  })

  it.each([
    ['no YAML', '{', of('failed', 'no YAML')],
    ['another kind', 'kind: Secret\n', of('failed', 'kind')],
    ['no rule for Secrets', rule(['configmaps'], '- identity: {}'), of('failed', 'no rule is about Secrets')],
    ['another socket', rule(['secrets'], kmsProvider({ endpoint: 'unix:///other' })), of('failed', 'has the endpoint')],
    ['version 1', rule(['secrets'], kmsProvider({ apiVersion: 'v1' })), of('failed', 'apiVersion v1')],
    ['identity before it', rule(['secrets'], `- identity: {}\n${kmsProvider()}`), of('note', 'identity is first')],
    ['another provider before it', rule(['*.'], `- aescbc: {}\n${kmsProvider()}`), of('warning', 'number 2')],
    ['too short a time', rule(['secrets'], kmsProvider({ timeout: '2s' })), of('warning', 'waits 2000 ms')],
    ['a time that is none', rule(['secrets'], kmsProvider({ timeout: 'soon' })), of('failed', 'cannot be read')],
    ['identity behind it', rule(['secrets'], `${kmsProvider()}\n- identity: {}`), of('note', 'still read')],
    [
      'Secrets in an entry of their own before it',
      `${rule(['secrets'], '- aescbc: {}')}${rule(['secrets'], kmsProvider()).slice(rule([], '').indexOf('  - resources'))}`,
      of('warning', 'number 2'),
    ],
    ['a time of two units', rule(['secrets'], kmsProvider({ timeout: '1s1500ms' })), of('warning', 'waits 2500 ms')],
  ])('judges an EncryptionConfiguration with %s', async (_what, text, expected) => {
    const path = await configure()
    const file = folder.join('n/encryption.yaml')
    await writeFile(file, text.replace('SOCKET', folder.join('n/kms.sock')))
    const { all } = await doctor(path, ['--encryption-config', file])
    expect(all.filter(({ id }) => id === 'encryption-config')).toContainEqual(
      expect.objectContaining(expected) as unknown,
    )
  })

  it('quotes nothing of an EncryptionConfiguration, which may hold keys', async () => {
    const file = folder.join('n/encryption.yaml')
    await writeFile(file, 'kind: EncryptionConfiguration\nresources: [{ providers: [{ aescbc: "hunter2" }]\n')
    const { stdout } = await kms(['doctor', '--config', await configure(), '--encryption-config', file])
    expect(stdout).toContain('encryption-config')
    expect(stdout).not.toContain('hunter2')
  })

  it('knows a keyring by its store', async () => {
    const seals = [{ name: 'tpm', type: 'tpm', priority: 1 }]
    const { checks } = await doctor(
      await configure({ backend: { type: 'keyring', store: folder.join('n/store'), seals } }),
    )
    expect(checks.get('keyring-store')).toMatchObject({ outcome: 'failed' })
    expect(checks.has('login')).toBe(false)
  })
})

/** An EncryptionConfiguration with one rule. */
function rule(resources: readonly string[], providers: string): string {
  const indented = providers.replaceAll('\n', '\n      ')
  return `apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n  - resources: ${JSON.stringify(resources)}\n    providers:\n      ${indented}\n`
}

function kmsProvider(changes: Readonly<Record<string, string>> = {}): string {
  return `- kms: ${JSON.stringify({ apiVersion: 'v2', name: 'sealwright', endpoint: 'unix://SOCKET', timeout: '3s', ...changes })}`
}

describe('sealctl kms verify-key', () => {
  it('tries every version, and agrees with the plugin and with what it remembers', async () => {
    const path = await configure()
    await startPlugin(path)
    const { exitCode, stdout } = await kms(['verify-key', '--config', path])
    expect(stdout).toMatch(/^cluster +lab\nprovider +transit\ndecrypts +from version 1 on\n/)
    expect(stdout).toMatch(/\n1 +active +\S+ +\S+ +encrypts and decrypts +sealwright\.v1\.[\w-]{43}\n/)
    expect(stdout).toContain('plugin    version 1, ok')
    expect(exitCode).toBe(0)
  })

  it('follows the key through a rotation, as far as each version may still be used', async () => {
    const path = await configure()
    await bao.rotate()
    await bao.rotate()
    await bao.configure({ min_encryption_version: 2 })
    const json = async () => JSON.parse((await kms(['verify-key', '--config', path, '--json'])).stdout) as unknown
    expect(await json()).toMatchObject({
      ...{ activeVersion: 3, pendingVersion: null, oldestEncryptable: 2, failures: [] },
      versions: [
        { version: 1, phase: 'retiring', trial: { kind: 'encrypts-no-more' } },
        { version: 2, phase: 'retiring', trial: { kind: 'works' } },
        { version: 3, phase: 'active', trial: { kind: 'works' } },
      ],
    })
    await bao.configure({ min_encryption_version: 0, min_decryption_version: 3 })
    expect(await json()).toMatchObject({ oldestDecryptable: 3, versions: [{ version: 3 }] })
    await bao.configure({ min_decryption_version: 1 })
  })

  it('ends with 3 where it cannot compare, and says why', async () => {
    const { exitCode, stdout } = await kms(['verify-key', '--config', await configure()])
    expect(exitCode).toBe(3)
    expect(stdout).toContain('warning: the plugin of this node was not reached')
    expect(stdout).toContain('no plugin has remembered the key here yet')
  })

  it('ends with 2 when the plugin refuses to say by what it encrypts', async () => {
    await using refusing = await startStatusPlugin(folder.join('n/kms.sock'), { grpcStatus: 9 })
    expect(refusing).toBeDefined()
    const { exitCode, stdout } = await kms(['verify-key', '--config', await configure()])
    expect(exitCode).toBe(2)
    expect(stdout).toContain('FAILED: the plugin does not say by what it encrypts: Status: FAILED_PRECONDITION')
    expect(stdout).toMatch(/\nplugin +KMS_PLUGIN_REFUSED\n/)
  })

  it('ends with 2 when the key is another one than this node knew', async () => {
    await bao.writePolicy(
      KMS_POLICY.replaceAll('/kubernetes', '/first') + KMS_POLICY.replaceAll('/kubernetes', '/second'),
    )
    const makeKey = async (name: string) =>
      await bao.administer({ method: 'POST', path: `transit/keys/${name}`, body: { type: 'aes256-gcm96' } })
    await makeKey('first')
    await startPlugin(await configure({ backend: bao.backend({ keyName: 'first' }) }))
    await makeKey('second')
    const { exitCode, stdout } = await kms([
      'verify-key',
      '--config',
      await configure({ backend: bao.backend({ keyName: 'second' }) }),
    ])
    expect(stdout).toMatch(/FAILED: KMS_KEY_GONE: version 1 of the key/)
    expect(exitCode).toBe(2)
  })

  it('ends with 2 when the key has gone back in time', async () => {
    const path = 'transit/keys/restored'
    const body = { type: 'aes256-gcm96', exportable: true, allow_plaintext_backup: true }
    await bao.administer({ method: 'POST', path, body })
    await bao.writePolicy(KMS_POLICY.replaceAll('/kubernetes', '/restored'))
    const backup = await bao.administer({ method: 'GET', path: 'transit/backup/restored' })
    await bao.administer({ method: 'POST', path: `${path}/rotate` })
    const config = await configure({ backend: bao.backend({ keyName: 'restored' }) })
    await startPlugin(config)
    await plugin?.stop()
    plugin = undefined
    const state = folder.join('n/state/kms-state.json')
    await copyFile(state, folder.join('n/kept'))
    const { data } = backup.body as { readonly data: { readonly backup: string } }
    await bao.administer({
      ...{ method: 'POST', path: 'transit/restore/restored', body: { backup: data.backup, force: true } },
    })
    const { exitCode, stdout } = await kms(['verify-key', '--config', config])
    expect(stdout).toContain('FAILED: KMS_KEY_GONE: the newest version of the key is 1, and was 2')
    expect(exitCode).toBe(2)
    // It was only read.
    expect(await readFile(state)).toEqual(await readFile(folder.join('n/kept')))
  })

  it('names a damaged state, and leaves it alone', async () => {
    const path = await configure()
    await mkdir(folder.join('n/state'))
    await writeFile(folder.join('n/state/kms-state.json'), '{}')
    const { exitCode, stdout } = await kms(['verify-key', '--config', path])
    expect(stdout).toContain('the state cannot be read')
    expect(exitCode).toBe(3)
    expect(await readFile(folder.join('n/state/kms-state.json'), 'utf8')).toBe('{}')
  })

  it('says that OpenBao is away', async () => {
    const path = await configure({ backend: bao.backend({ addresses: ['https://127.0.0.1:1'] }) })
    expect(await kms(['verify-key', '--config', path])).toMatchObject({
      ...{ exitCode: 6, stdout: '', stderr: expect.stringMatching(/^sealctl: KMS_BACKEND_UNAVAILABLE: /) as string },
    })
  })
})

describe('sealctl kms rotation-plan', () => {
  it('fills in versions, times and commands of the real key', async () => {
    const path = await configure({ rotation: { activationDelayMs: 300_000 }, backend: bao.backend() })
    const { exitCode, stdout } = await kms(['rotation-plan', '--config', path], new Date(Date.now() + 86_400_000))
    expect(exitCode).toBe(0)
    expect(stdout).toContain('encrypts by version 3, dated ')
    expect(stdout).toContain('\n\n1. Have a backup of etcd and of OpenBao from before version 3\n')
    expect(stdout).not.toContain('\\x')
    expect(stdout).toContain('bao write transit/keys/kubernetes/config min_decryption_version=3')
    const json = JSON.parse((await kms(['rotation-plan', '--config', path, '--json'])).stdout) as {
      readonly steps: readonly object[]
    }
    expect(json).toMatchObject({ clusterId: 'lab' })
    expect(json.steps).toHaveLength(7)
  })
})

describe('the same commands with a keyring', () => {
  /** One that a transit key opens. */
  async function configureKeyring(): Promise<string> {
    const { addresses, ...connection } = bao.backend() as { readonly addresses: readonly string[] }
    const seal = { ...connection, name: 'bao', type: 'transit', priority: 1, address: addresses[0] }
    const path = await configure({ backend: { type: 'keyring', store: folder.join('n/store'), seals: [seal] } })
    expect(await kms(['keyring', 'init', '--single-way-in', '--label', 'node-a', '--config', path])).toMatchObject({
      ...{ exitCode: 0, stderr: '' },
    })
    return path
  }

  it('look at its store, and try its versions by a seal', async () => {
    const path = await configureKeyring()
    const { checks } = await doctor(path)
    expect(checks.get('keyring-store')).toMatchObject(of('passed', '1 version, 1 encrypts'))
    const { stdout } = await kms(['verify-key', '--config', path])
    expect(stdout).toMatch(/\n1 +active +\S+ +\S+ +encrypts and decrypts +sealwright\.v1\./)
    expect((await kms(['rotation-plan', '--config', path])).stdout).toContain(
      `sealctl kms keyring rotate --config ${path}\n`,
    )
  })

  it('verify-key works beside the plugin, which has the store for itself', async () => {
    const path = await configureKeyring()
    await startPlugin(path)
    const verified = await kms(['verify-key', '--config', path])
    expect(verified).toMatchObject({ exitCode: 0, stderr: '' })
    expect(verified.stdout).toMatch(/\nplugin +version 1, ok\n/)
    expect(verified.stdout).toMatch(/\n1 +active +\S+ +\S+ +encrypts and decrypts +sealwright\.v1\./)
  })

  it('verify-key says what is wrong with a damaged one, in the words of the keyring', async () => {
    const path = await configureKeyring()
    await truncate(folder.join('n/store/keyring'), 10)
    const { exitCode, stderr } = await kms(['verify-key', '--config', path])
    expect(exitCode).toBe(1)
    expect(stderr).toMatch(/^sealctl: STORE_KEYRING_INVALID: .*keyring\.previous/)
  })
})
