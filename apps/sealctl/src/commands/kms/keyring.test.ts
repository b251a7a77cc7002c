import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { encodeState, keyIdOf, KMS_STATE_FILE, observeKey } from '@sealwright/kms-v2'
import { encodeRotationVerification, readStored } from '@sealwright/kms-backends'
import { kmsChain } from '@sealwright/keyring'
import { startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { runHere, type World } from '../../testing/run-here.ts'
import { isRetired, readKeyFacts } from './key-facts.ts'
import { membersOf } from './keyring-view.ts'
import { loadKmsConfig } from './load-config.ts'
import { startStatusPlugin } from './testing/plugin-server.ts'

/** A control-plane node with a TPM of its own. */
interface TestNode extends AsyncDisposable {
  readonly swtpm: Swtpm
  readonly store: string
  /** Of the KMS plugin. */
  readonly statePath: string
  readonly socketPath: string
  /** Writes the configuration. @returns where it is. */
  configure(change?: { readonly seals?: readonly object[]; readonly clusterId?: string }): string
  run(args: readonly string[], world?: World): ReturnType<typeof runHere>
  /** What it printed as JSON, with its exit code. */
  json(args: readonly string[], world?: World): Promise<{ readonly exitCode: number } & Record<string, unknown>>
}

const PEOPLE = { name: 'people', type: 'shamir', priority: 100 }
const HOUR_MS = 3_600_000

let folder: TemporaryFolder
let used: AsyncDisposableStack
let a: TestNode

async function testNode(name: string): Promise<TestNode> {
  const own = await temporaryFolder()
  const swtpm = await startSwtpm({ directory: own.path })
  const [store, path] = [folder.join(`${name}-store`), folder.join(`${name}.yaml`)]
  const [stateDirectory, socketPath] = [own.join('state'), own.join('kms.sock')]
  mkdirSync(stateDirectory)
  const tpm = { name: 'tpm', type: 'tpm', priority: 1, tpm: { socket: swtpm.socketPath }, deadlineMs: 10_000 }

  const configure: TestNode['configure'] = ({ seals = [], clusterId } = {}) => {
    const keyring = clusterId === undefined ? {} : { clusterId }
    const backend = { type: 'keyring', store, seals: [tpm, ...seals], ...keyring }
    const plugin = { socket: { path: socketPath }, rotation: { activationDelayMs: 0 }, stateDirectory }
    writeFileSync(path, JSON.stringify({ clusterId: 'test', backend, ...plugin }), { mode: 0o600 })
    return path
  }
  configure()
  const run: TestNode['run'] = (args, world) => runHere(['kms', 'keyring', ...args, '--config', path], world)
  return {
    ...{ swtpm, store, configure, run, statePath: join(stateDirectory, KMS_STATE_FILE), socketPath },
    async json(args, world) {
      const { exitCode, stdout } = await run([...args, '--json'], world)
      return { ...(JSON.parse(stdout) as object), exitCode }
    },
    async [Symbol.asyncDispose]() {
      await swtpm.stop()
      await own.remove()
    },
  }
}

beforeEach(async () => {
  folder = await temporaryFolder()
  used = new AsyncDisposableStack()
  a = used.use(await testNode('a'))
})

afterEach(async () => {
  await used.disposeAsync()
  await folder.remove()
})

const initialised = (node = a) => node.json(['init', '--single-way-in'])

async function versions(node = a): Promise<readonly (readonly [number, string])[]> {
  const { versions: listed } = await node.json(['show'])
  return (listed as readonly { version: number; state: string }[]).map(({ version, state }) => [version, state])
}

interface KeyIdOf {
  readonly keyId: string
}

/** While the plugin of the node remembers this. */
async function withState<T>(state: string, use: () => Promise<T>): Promise<T> {
  writeFileSync(a.statePath, state, { mode: 0o600 })
  const result = await use()
  rmSync(a.statePath)
  return result
}

/** What a plugin remembers that encrypts by a version. */
async function stateOf({ store }: TestNode, encrypting: number): Promise<string> {
  const observation = {
    versions: kmsChain((await readStored(store)).keyring)
      .filter(({ number }) => number <= encrypting)
      .map(({ number, id, notBeforeMs }) => ({ version: number, lineage: id, createdAtMs: notBeforeMs })),
    ...{ oldestDecryptable: 1, oldestEncryptable: 1 },
  }
  const policy = { stableObservations: 1, activationDelayMs: 0 }
  const life = observeKey(null, observation, { nowMs: Date.now(), policy, newestWorks: true, refused: new Set() })
  return encodeState({ provider: 'keyring', clusterId: 'test', life })
}

describe('sealctl kms keyring init', () => {
  it('makes a keyring that the TPM opens, says its id, and shows no key', async () => {
    const made = await initialised()
    expect(made).toMatchObject({ exitCode: 0, version: 1, opens: ['tpm'], store: a.store })
    expect(made.clusterId).toMatch(/^[0-9a-f]{32}$/)
    const shown = await a.json(['show', '--try'])
    expect(shown).toMatchObject({
      ...{ exitCode: 0, clusterId: made.clusterId, revision: 1 },
      versions: [{ version: 1, state: 'active', isNewest: true }],
      members: [{ seal: 'tpm', type: 'tpm', records: [1], opens: true }],
      tried: [{ name: 'tpm', verdict: { kind: 'opens' } }],
    })
    expect(statSync(a.store).mode & 0o777).toBe(0o700)
  })

  it('says that a copy belongs off this node', async () => {
    const { stdout } = await a.run(['init', '--single-way-in'])
    expect(stdout).toMatch(
      /Keep a copy off this node, with your backups of etcd.*\n +sealctl kms keyring export FILE\n/,
    )
  })

  it('is refused where a single device would open it, and says why', async () => {
    expect(await a.run(['init'])).toMatchObject({
      ...{ exitCode: 4, stdout: '' },
      stderr: expect.stringMatching(/^sealctl: KMS_KEYRING_SINGLE_WAY_IN: .*every Secret of the cluster/) as unknown,
    })
  })

  it('is refused where there is one, also with the right to a single way in', async () => {
    await initialised()
    const before = readFileSync(join(a.store, 'keyring'))
    const { clusterId } = await a.json(['show'])
    writeFileSync(a.statePath, await stateOf(a, 1), { mode: 0o600 })
    a.configure({ clusterId: String(clusterId) })
    // It is not lost, whatever else knows of it.
    const { exitCode, stderr } = await a.run(['init', '--single-way-in'])
    expect([exitCode, stderr]).toEqual([4, expect.stringMatching(/^sealctl: KMS_KEYRING_EXISTS: .* has a keyring/)])
    expect(readFileSync(join(a.store, 'keyring'))).toEqual(before)
  })

  it.each(['configuration', 'state of its plugin'])(
    'is refused where a keyring was lost that the %s knows of',
    async by => {
      const { clusterId } = await initialised()
      const state = await stateOf(a, 1)
      rmSync(a.store, { recursive: true })
      if (by === 'configuration') a.configure({ clusterId: String(clusterId) })
      else writeFileSync(a.statePath, state, { mode: 0o600 })
      const { exitCode, stderr } = await a.run(['init', '--single-way-in'])
      expect(exitCode).toBe(4)
      expect(stderr).toMatch(/^sealctl: KMS_KEYRING_EXISTS: .*sealctl kms keyring recover --keyring FILE/)
      expect(existsSync(join(a.store, 'keyring'))).toBe(false)
    },
  )

  it('is refused beside a plugin that encrypts by what nobody knows, though it remembers nothing', async () => {
    await using plugin = await startStatusPlugin(a.socketPath, { keyId: 'sealwright.v1.of-a-lost-keyring' })
    expect(plugin).toBeDefined()
    expect(await initialised()).toMatchObject({ exitCode: 1, code: 'KMS_COMMAND_STATE_UNUSABLE' })
    expect(existsSync(join(a.store, 'keyring'))).toBe(false)
  })

  it('writes shares for people, who open it alone', async () => {
    a.configure({ seals: [PEOPLE] })
    const cards = folder.join('cards')
    expect(await a.json(['init', '--output', cards])).toMatchObject({ exitCode: 1, code: 'SEALCTL_USAGE' })
    const nowhere = await a.json(['init', '--shares', '3', '--threshold', '2'])
    expect(nowhere).toMatchObject({ exitCode: 1, code: 'SEALCTL_NO_TERMINAL' })
    const made = await a.json(['init', '--shares', '3', '--threshold', '2', '--output', cards])
    expect(made).toMatchObject({ exitCode: 0, opens: ['tpm', 'people'] })
    expect(readdirSync(cards)).toHaveLength(3)
    expect(readFileSync(join(cards, 'share-1-of-3'), 'utf8')).toContain('any 2 of them open the seal people')

    await a.swtpm.replace()
    expect(await a.json(['show', '--try'])).toMatchObject({ exitCode: 6 })
    const files = ['share-1-of-3', 'share-3-of-3'].flatMap(name => ['--share-file', join(cards, name)])
    expect(await a.json(['recover', ...files.slice(0, 2)])).toMatchObject({ exitCode: 2, code: 'LOCAL_NO_SHARES' })
    expect(await a.json(['recover', ...files])).toMatchObject({ exitCode: 0, openedBy: 'people', opens: ['tpm'] })
    expect(await a.json(['show', '--try'])).toMatchObject({ exitCode: 0 })
  })

  it('shows shares on a terminal, once', async () => {
    a.configure({ seals: [PEOPLE] })
    const { exitCode, stdout } = await a.run(['init', '--shares', '3', '--threshold', '2'], { isTerminal: true })
    expect([exitCode, stdout.match(/^sw-share-/gm)?.length]).toEqual([0, 3])
    expect((await a.run(['show'])).stdout).not.toContain('sw-share-')
  })

  it('says that shares open nothing where they were given away and the keyring could not be written', async () => {
    a.configure({ seals: [PEOPLE] })
    const cards = folder.join('cards')
    mkdirSync(a.store, { mode: 0o700 })
    // A folder in the place of the keyring is found only when it is to be written.
    mkdirSync(join(a.store, 'writer.lock'))
    const { exitCode, stderr } = await a.run(['init', '--shares', '3', '--threshold', '2', '--output', cards])
    expect(exitCode).toBe(1)
    expect(stderr).toMatch(/^The shares of this set open nothing/)
  })

  it('is for a KMS plugin whose key is in a keyring', async () => {
    const path = folder.join('transit.yaml')
    const auth = { method: 'token', tokenFile: '/nonexistent' }
    const backend = { type: 'transit', addresses: ['https://openbao.example.com:8200'], keyName: 'k', auth }
    writeFileSync(path, JSON.stringify({ clusterId: 'test', backend }), { mode: 0o600 })
    expect(await runHere(['kms', 'keyring', 'init', '--config', path])).toMatchObject({
      ...{ exitCode: 1, stderr: expect.stringContaining('SEALCTL_NO_KMS_KEYRING') as unknown },
    })
  })
})

describe('sealctl kms keyring rotate and retire', () => {
  it('makes a version, says when it begins to encrypt and what to do until then', async () => {
    await initialised()
    const earliest = Date.now() + HOUR_MS
    const { exitCode, stdout } = await a.run(['rotate'])
    expect(exitCode).toBe(0)
    expect(stdout).toContain('sealctl kms keyring export')
    expect(stdout).toContain('Keep a copy off this node')
    const [, date = ''] = /no node encrypts by it before (\S+)/.exec(stdout) ?? []
    expect(Date.parse(date)).toBeGreaterThanOrEqual(earliest)
    expect(Date.parse(date)).toBeLessThan(earliest + HOUR_MS)
    expect(await versions()).toEqual([
      [1, 'active'],
      [2, 'active'],
    ])
  })

  it('makes no version where the keyring lacks one that the plugin knows, and could be the last to hold', async () => {
    await initialised()
    const before = readFileSync(join(a.store, 'keyring'))
    await a.json(['rotate', '--hand-out', '0'])
    const [state, [, second]] = [await stateOf(a, 2), (await a.json(['show'])).versions as readonly KeyIdOf[]]
    writeFileSync(join(a.store, 'keyring'), before, { mode: 0o600 })
    const { exitCode, stderr } = await withState(state, () => a.run(['rotate']))
    expect(exitCode).toBe(4)
    expect(stderr).toMatch(
      /^sealctl: KMS_KEYRING_VERSION: the KMS plugin of this node knows version 2, .*keyring import/,
    )
    await using plugin = await startStatusPlugin(a.socketPath, { keyId: String(second?.keyId) })
    expect(plugin).toBeDefined()
    expect(await a.json(['rotate'])).toMatchObject({ exitCode: 1, code: 'KMS_COMMAND_STATE_UNUSABLE' })
    expect(readFileSync(join(a.store, 'keyring'))).toEqual(before)
  })

  it('retires nothing by accident', async () => {
    await initialised()
    await a.json(['rotate', '--hand-out', '0'])
    const refused = async (...args: string[]) => (await a.json(['retire', ...args, '--every-node-verified'])).code
    const word = ['retire', '1', '--i-have-verified', '--confirm', '1']
    expect(await a.json(word)).toMatchObject({ exitCode: 1, code: 'SEALCTL_NO_TERMINAL' })
    const lagging = await a.run(word, { input: 'all but one\n', isTerminal: true })
    expect(lagging).toMatchObject({ exitCode: 5, stderr: expect.stringContaining('verify-key on every') as unknown })
    expect(await refused('1')).toBe('SEALCTL_USAGE')
    expect(await refused('1', '--i-have-verified')).toBe('SEALCTL_NO_TERMINAL')
    expect(await refused('1', '--i-have-verified', '--confirm', '2')).toBe('SEALCTL_NOT_CONFIRMED')
    expect(await refused('1', '--i-have-verified', '--verified', 'x')).toBe('SEALCTL_USAGE')
    expect(await refused('1', '--verified', folder.join('nothing'))).toBe('SEALCTL_INPUT_UNREADABLE')
    expect(await refused('2', '--i-have-verified', '--confirm', '2')).toBe('KMS_KEYRING_VERSION')
    expect(await refused('one', '--i-have-verified')).toBe('SEALCTL_USAGE')
    expect(await versions()).toEqual([
      [1, 'active'],
      [2, 'active'],
    ])
  })

  it('retires what an operator has named twice', async () => {
    await initialised()
    await a.json(['rotate', '--hand-out', '0'])
    const args = ['retire', '1', '--i-have-verified', '--every-node-verified']
    const typed = await a.run(args, { input: '1\n', isTerminal: true })
    expect([typed.exitCode, typed.stdout]).toEqual([0, expect.stringMatching(/retired now: 1\nno etcd was looked at/)])
    expect(await versions()).toEqual([
      [1, 'retired'],
      [2, 'active'],
    ])
  })

  it('retires what every node was looked at for, and says so by hand', async () => {
    await initialised()
    await a.json(['rotate', '--hand-out', '0'])
    const typed = await a.run(['retire', '1', '--i-have-verified', '--confirm', '1'], {
      ...{ input: 'every node\n', isTerminal: true },
    })
    expect(typed.exitCode).toBe(0)
  })

  it('takes a retirement back, by the copy that it names', async () => {
    await initialised()
    await a.json(['rotate', '--hand-out', '0'])
    const keptAs = join(a.store, 'keyring.before-retire-1')
    const args = ['retire', '1', '--i-have-verified', '--confirm', '1', '--every-node-verified']
    const { stdout } = await a.run(args)
    expect(stdout).toContain(`sealctl kms keyring restore ${keptAs}\n`)
    const { revision } = await a.json(['show'])
    const restored = await a.run(['restore', keptAs])
    expect([restored.exitCode, restored.stdout]).toEqual([0, expect.stringContaining('back again: 1, proven by tpm')])
    expect(await versions()).toEqual([
      [1, 'active'],
      [2, 'active'],
    ])
    const { keyring } = await readStored(a.store)
    for (const records of [keyring.records, keyring.records.toReversed()])
      expect(membersOf({ ...keyring, records })).toMatchObject([{ records: [1, 2] }])
    expect(Number((await a.json(['show'])).revision)).toBeGreaterThan(Number(revision))
    expect(await a.json(['restore', keptAs])).toMatchObject({ exitCode: 4, code: 'KMS_KEYRING_VERSION' })
  })

  it('knows which versions decrypt where a later one stays retired', async () => {
    const rotate = () => a.json(['rotate', '--hand-out', '0'])
    const retire = (version: string) =>
      a.json(['retire', version, '--i-have-verified', '--confirm', version, '--every-node-verified'])
    await initialised()
    await rotate()
    const { keptAs } = await retire('1')
    await rotate()
    await rotate()
    await retire('3')
    expect(await a.json(['restore', String(keptAs)])).toMatchObject({ exitCode: 0, restored: [1, 2] })

    const config = await loadKmsConfig(a.configure())
    const key = await readKeyFacts(config, { nowMs: Date.now(), signal: new AbortController().signal })
    expect(key.versions.map(({ version, phase }) => [version, phase, isRetired(key, version)])).toEqual([
      [1, 'retiring', false],
      [2, 'retiring', false],
      [3, 'retired', true],
      [4, 'active', false],
    ])
  })

  it('retires no version that the plugin of this node encrypts by, whatever is said', async () => {
    await initialised()
    await a.json(['rotate', '--hand-out', '0'])
    const retire = () => a.json(['retire', '1', '--i-have-verified', '--confirm', '1', '--every-node-verified'])
    writeFileSync(a.statePath, 'nothing that could be read', { mode: 0o600 })
    expect(await retire()).toMatchObject({ code: 'KMS_COMMAND_STATE_UNUSABLE' })
    writeFileSync(a.statePath, await stateOf(a, 1), { mode: 0o600 })
    expect(await retire()).toMatchObject({ exitCode: 4, code: 'KMS_KEYRING_VERSION' })
    rmSync(a.statePath)
    const [first] = (await a.json(['show'])).versions as readonly KeyIdOf[]
    // A plugin that cannot write what it remembers still says it.
    for (const [answer, code] of [
      [{ keyId: String(first?.keyId) }, 'KMS_KEYRING_VERSION'],
      [{ keyId: 'sealwright.v1.unknown' }, 'KMS_COMMAND_STATE_UNUSABLE'],
      [{ grpcStatus: 14 }, 'KMS_COMMAND_STATE_UNUSABLE'],
    ] as const) {
      await using plugin = await startStatusPlugin(a.socketPath, answer)
      expect(plugin).toBeDefined()
      expect(await retire()).toMatchObject({ code })
    }
    writeFileSync(a.statePath, await stateOf(a, 2), { mode: 0o600 })
    expect(await retire()).toMatchObject({ exitCode: 0, retired: [1] })
  })

  it('retires by a verification that names the newer key id alone', async () => {
    await initialised()
    await a.json(['rotate', '--hand-out', '0'])
    const { versions: listed } = await a.json(['show'])
    const keyIds = (listed as readonly { keyId: string }[]).map(({ keyId }) => keyId)
    const file = folder.join('verification.json')
    const etcds = [
      { clusterId: 'cdf818194e3a8c32', endpoints: ['https://10.0.0.5:2379', 'https://10.0.0.6:2379'] },
      { clusterId: 'e0', endpoints: ['https://10.0.0.7:2379'] },
    ]
    const verify = (found: readonly string[]): void => {
      const verification = { clusterId: 'test', etcds, verifiedAtMs: Date.now(), keyIds: found }
      writeFileSync(file, encodeRotationVerification(verification))
    }
    verify(keyIds)
    const kept = await a.json(['retire', '1', '--verified', file, '--every-node-verified'])
    expect(kept).toMatchObject({ exitCode: 4, code: 'KMS_KEYRING_NOT_VERIFIED' })
    verify(keyIds.slice(1))
    // Whoever is asked for the nodes sees which etcds it is about.
    const asked = await a.run(['retire', '1', '--verified', file], { input: 'no\n', isTerminal: true })
    const named =
      /through etcd cdf818194e3a8c32 at https:\/\/10\.0\.0\.5:2379, https:\/\/10\.0\.0\.6:2379; etcd e0 at https:\/\/10\.0\.0\.7:2379/
    expect([asked.exitCode, asked.stderr]).toEqual([5, expect.stringMatching(named)])
    expect(await a.json(['retire', '1', '--verified', file, '--every-node-verified'])).toMatchObject({
      ...{ exitCode: 0, retired: [1] },
      verified: { verifiedAt: expect.stringMatching(/^20\d\d-/) as unknown, etcds },
    })
    expect(await a.json(['restore', join(a.store, 'keyring.before-retire-1')])).toMatchObject({
      remade: [],
      failures: [],
    })
    const said = await a.run(['retire', '1', '--verified', file, '--every-node-verified'])
    expect([said.exitCode, said.stdout]).toEqual([0, expect.stringMatching(named)])
    const bystander = keyIdOf({ provider: 'keyring', clusterId: 'test', version: 1, lineage: new Uint8Array(16) })
    expect(keyIds).not.toContain(bystander)
  })

  it('does nothing while no seal opens, and ends with 6', async () => {
    await initialised()
    await a.swtpm.kill()
    expect(await a.json(['rotate'])).toMatchObject({ exitCode: 6, code: 'KMS_KEYRING_SEALED' })
  })

  it('does nothing where there is no keyring', async () => {
    expect(await a.json(['rotate'])).toMatchObject({ exitCode: 1, code: 'KMS_KEYRING_MISSING' })
    expect(await a.json(['show'])).toMatchObject({ exitCode: 1, code: 'KMS_KEYRING_MISSING' })
  })
})

describe('sealctl kms keyring on a further node', () => {
  let b: TestNode

  beforeEach(async () => {
    b = used.use(await testNode('b'))
  })

  /** Lets `b` in. @returns the id of the keyring. */
  async function enrolled(): Promise<string> {
    const { clusterId } = (await initialised()) as unknown as { readonly clusterId: string }
    const [request, answer] = [folder.join('request.json'), folder.join('answer.bin')]
    const { fingerprint } = await b.json(['enroll', 'request', '--output', request, '--label', 'node-b'])
    const asked = ['enroll', 'approve', '--request', request, '--label', 'node-b', '--output', answer]
    const wrong = await a.json([...asked, '--fingerprint', '0'.repeat(32)])
    expect(wrong).toMatchObject({ exitCode: 5, code: 'KMS_KEYRING_NOT_CONFIRMED' })
    const approved = await a.run(asked, { input: `${String(fingerprint)}\n`, isTerminal: true })
    expect([approved.exitCode, approved.stdout]).toEqual([0, expect.stringContaining(`--cluster-id ${clusterId}`)])
    expect(approved.stdout).toContain('Keep a copy off this node')
    // The record could be of anybody's making.
    expect(await b.json(['enroll', 'apply', answer])).toMatchObject({ exitCode: 6, code: 'KMS_KEYRING_SEALED' })
    const applied = await b.json(['enroll', 'apply', answer, '--cluster-id', clusterId])
    expect(applied).toMatchObject({ exitCode: 0, opens: ['tpm'], clusterId })
    return clusterId
  }

  const keyIds = async (node: TestNode) =>
    ((await node.json(['show'])).versions as readonly { keyId: string }[]).map(({ keyId }) => keyId)

  it('lets its TPM in, and both know the same key ids from then on', async () => {
    await enrolled()
    expect(await keyIds(b)).toEqual(await keyIds(a))
    await a.swtpm.kill()
    expect(await b.json(['show', '--try'])).toMatchObject({ exitCode: 0 })
  })

  it('brings a rotation there', async () => {
    await enrolled()
    await a.json(['rotate'])
    const file = folder.join('keyring.bin')
    expect(await a.json(['export', file])).toMatchObject({ exitCode: 0, output: file })
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(await a.json(['export', file])).toMatchObject({ exitCode: 1, code: 'SEALCTL_OUTPUT_UNUSABLE' })
    expect(await b.json(['import', file])).toMatchObject({ exitCode: 0, opens: ['tpm'], written: true })
    expect(await keyIds(b)).toEqual(await keyIds(a))
    expect(await keyIds(b)).toHaveLength(2)
    const before = readFileSync(join(b.store, 'keyring'))
    expect(await b.json(['import', file])).toMatchObject({ exitCode: 0, opens: ['tpm'], written: false })
    expect(readFileSync(join(b.store, 'keyring'))).toEqual(before)
    expect(await b.json(['import', folder.join('nothing')])).toMatchObject({ code: 'LOCAL_INPUT_UNREADABLE' })
  })

  it.each(['import', 'recover'])('brings that a version was retired only where that is meant, by %s', async command => {
    const clusterId = await enrolled()
    await a.json(['rotate', '--hand-out', '0'])
    const [rotated, retired] = [folder.join('rotated.bin'), folder.join('retired.bin')]
    await a.json(['export', rotated])
    await b.json(['import', rotated])
    await a.json(['retire', '1', '--i-have-verified', '--confirm', '1', '--every-node-verified'])
    await a.json(['export', retired])
    const bring = (...options: string[]) =>
      b.run([command, ...(command === 'import' ? [] : ['--keyring']), retired, '--cluster-id', clusterId, ...options])
    const refused = await bring()
    expect([refused.exitCode, refused.stderr]).toEqual([4, expect.stringContaining('KMS_KEYRING_VERSION')])
    writeFileSync(b.statePath, await stateOf(b, 1), { mode: 0o600 })
    expect((await bring('--accept-retired')).exitCode).toBe(4)
    expect(await versions(b)).toEqual([
      [1, 'active'],
      [2, 'active'],
    ])
    writeFileSync(b.statePath, await stateOf(b, 2), { mode: 0o600 })
    const { exitCode, stdout } = await bring('--accept-retired')
    const keptAs = join(b.store, 'keyring.before-retire-1')
    expect([exitCode, stdout]).toEqual([0, expect.stringContaining(`sealctl kms keyring restore ${keptAs} `)])
    expect(await b.json(['restore', keptAs])).toMatchObject({ exitCode: 0, restored: [1] })
  })

  it('recovers a node whose store was lost, by a keyring from elsewhere and its own TPM', async () => {
    await enrolled()
    const file = folder.join('keyring.bin')
    await b.json(['export', file])
    rmSync(b.store, { recursive: true })
    expect(await b.json(['recover', '--keyring', file])).toMatchObject({ exitCode: 0, openedBy: 'tpm' })
    expect(await b.json(['show', '--try'])).toMatchObject({ exitCode: 0 })
  })
})

describe('sealctl kms keyring', () => {
  it('refuses the store of an agent, whatever it is to do with it', async () => {
    await initialised()
    const file = folder.join('keyring.bin')
    const agents = unsealingKeyring()
    writeFileSync(join(a.store, 'keyring'), agents, { mode: 0o600 })
    writeFileSync(file, agents)
    for (const args of [
      ['show'],
      ['rotate'],
      ['export', folder.join('copy')],
      ['import', file],
      ['recover'],
      ['retire', '1', '--i-have-verified', '--confirm', '1', '--every-node-verified'],
      ['restore', file],
    ]) {
      expect(await a.json(args)).toMatchObject({ exitCode: 1, code: 'KEYRING_OTHER_USE' })
    }
  })

  it('shows help for each command, with an example', async () => {
    const commands = ['init', 'show', 'rotate', 'retire', 'restore', 'export', 'import', 'recover']
    const enroll = ['request', 'approve', 'apply'].map(name => ['enroll', name])
    for (const command of [...commands.map(name => [name]), ...enroll]) {
      const { exitCode, stdout } = await a.run([...command, '--help'])
      expect([exitCode, stdout]).toEqual([0, expect.stringContaining(`sealctl kms keyring ${command.join(' ')}`)])
    }
  })
})

/** A keyring that opens OpenBao, of the vectors. */
function unsealingKeyring(): Uint8Array {
  const path = join(import.meta.dirname, '../../../../../vectors/keyring/open.json')
  const [first] = JSON.parse(readFileSync(path, 'utf8')) as readonly { readonly keyring: string }[]
  if (first === undefined) throw new Error('no vector')
  return Buffer.from(first.keyring, 'hex')
}
