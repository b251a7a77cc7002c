import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createSealedNode, type ProgramResult, runProgramToEnd, type SealedNode } from '@sealwright/testing-cluster'
import { freePort } from '@sealwright/testing-rig'
import { bao } from './bao-command.ts'
import { expectSealWorks } from './node-health.ts'
import { killAgent } from './node-life.ts'
import { type Cards, foreignCard, makeShares } from './parallel-cards.ts'
import { OFTEN } from './parallel-node.ts'
import { expectOpenedBy, expectServes, knownStatus, listedSeals } from './parallel-status.ts'
import { startTestTransit } from './parallel-transit.ts'
import { writeSealKey } from './seal-key.ts'
import { type OpenedNode, openNode } from './served-node.ts'
import { storeEntries, useStore } from './store-files.ts'
import { sharedScope } from './test-scope.ts'

const scope = sharedScope()
const SHAMIR = { name: 'emergency', type: 'shamir', priority: 100 }
const ERROR = 1
const NOT_READY = 2
const NOT_CONFIRMED = 5

let live: OpenedNode
let clusterId: string
let cards: Cards
let snapshot: string
/** Another machine, which nobody knows. */
let fresh: SealedNode
let freshPorts: { readonly apiPort: number; readonly clusterPort: number }

beforeAll(async () => {
  live = await openNode(scope, { agent: OFTEN, moreSeals: [SHAMIR] })
  const { node } = live
  const folder = scope.folder.join('cards')
  cards = await makeShares(node, { seal: SHAMIR.name, label: 'board', folder, shares: 3, threshold: 2 })
  const status = JSON.parse((await node.sealctl('status', '--json')).stdout) as { keyring: { clusterId: string } }
  clusterId = status.keyring.clusterId
  // The blob that the snapshot is opened by has the keyring of when it was made.
  await expectSealWorks(node, live.rootToken)
  snapshot = await saveSnapshot('cluster.snap', node.openBao(), live.rootToken)

  const directory = scope.folder.join('fresh')
  await mkdir(directory, { mode: 0o700 })
  freshPorts = { apiPort: await freePort(), clusterPort: await freePort() }
  const config = { agent: OFTEN, openbao: { address: `http://127.0.0.1:${freshPorts.apiPort}` } }
  fresh = scope.use(await createSealedNode({ name: 'fresh', directory, config }))
})

async function saveSnapshot(name: string, server: Parameters<typeof bao>[0], token: string): Promise<string> {
  const path = scope.folder.join(name)
  await bao(server, ['operator', 'raft', 'snapshot', 'save', path], token)
  return path
}

/** Runs a command of `sealctl` that needs no agent, on the fresh machine. */
async function onFresh(...args: readonly string[]): Promise<ProgramResult> {
  return await runProgramToEnd('sealctl', [...args, '--config', fresh.configPath])
}

async function recover(from: string, shares: readonly (string | undefined)[], ...more: readonly string[]) {
  const files = shares.flatMap(card => (card === undefined ? [] : ['--share-file', card]))
  return await onFresh('recover', '--snapshot', from, ...files, ...more)
}

async function isStoreThere(): Promise<boolean> {
  const entries = await storeEntries(fresh.storePath).catch(() => ({}))
  return Object.keys(entries).length > 1
}

async function flipped(path: string): Promise<string> {
  const bytes = await readFile(path)
  const middle = bytes.length >> 1
  bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle)
  await writeFile(`${path}-flipped`, bytes)
  return `${path}-flipped`
}

async function cut(path: string): Promise<string> {
  const bytes = await readFile(path)
  await writeFile(`${path}-cut`, bytes.subarray(0, bytes.length - 100))
  return `${path}-cut`
}

/** A raft snapshot of an OpenBao with `seal "static"`. */
async function staticSnapshot(): Promise<string> {
  const other = await startTestTransit(scope)
  const token = await other.writeToken({ policies: ['root'], no_default_policy: false })
  const path = await saveSnapshot('static.snap', other.server, token)
  await other.setPresent(false)
  return path
}

describe('sealctl recover on a fresh machine', () => {
  it.each<[string, string, () => Promise<ProgramResult>, number?]>([
    [
      'a snapshot that has no keyring in it, since another seal made it',
      'LOCAL_SNAPSHOT_WITHOUT_KEYRING',
      async () => await recover(await staticSnapshot(), cards.slice(0, 2)),
    ],
    [
      'a share of another cluster',
      'LOCAL_SEAL_UNKNOWN',
      async () => await recover(snapshot, [await foreignCard(scope.folder.join('foreign'))]),
    ],
    ['too few shares', 'LOCAL_NO_SHARES', () => recover(snapshot, cards.slice(0, 1)), NOT_READY],
    ['one share twice', 'SHAMIR_SHARE_REPEATED', () => recover(snapshot, [cards[0], cards[0]])],
    [
      'the wrong cluster id',
      'KEYRING_OTHER_CLUSTER',
      () => recover(snapshot, cards.slice(0, 2), '--cluster-id', randomBytes(16).toString('hex')),
    ],
    ['a flipped bit in the snapshot', 'RAFT_SNAPSHOT_', async () => await recover(await flipped(snapshot), cards)],
    ['a snapshot that was cut', 'RAFT_SNAPSHOT_', async () => await recover(await cut(snapshot), cards)],
  ])('refuses %s, and writes nothing', async (_what, code, attempt, expected = ERROR) => {
    const { exitCode, stderr } = await attempt()
    expect({ exitCode, stderr }).toEqual({
      exitCode: expected,
      stderr: expect.stringContaining(`sealctl: ${code}`) as string,
    })
    expect(await isStoreThere()).toBe(false)
  })

  it('refuses a store of another cluster in its way, and leaves it as it is', async () => {
    const store = fresh.storePath
    await useStore(fresh, `${store}-taken`)
    const otherKey = await writeSealKey(fresh.directory)
    expect(await fresh.bootstrap(otherKey)).toMatchObject({ exitCode: 0 })
    const before = await storeEntries(`${store}-taken`)
    const { exitCode, stderr } = await recover(snapshot, cards.slice(0, 2))
    expect({ exitCode, stderr }).toMatchObject({
      exitCode: ERROR,
      stderr: expect.stringContaining('sealctl: ENROLMENT_OTHER_CLUSTER: ') as string,
    })
    expect(await storeEntries(`${store}-taken`)).toEqual(before)
    await useStore(fresh, store)
  })

  it('opens a snapshot by shares alone, and makes this machine one that opens it', async () => {
    const { exitCode, stdout } = await recover(snapshot, cards.slice(1), '--json')
    expect(exitCode).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ clusterId, openedBy: SHAMIR.name, opens: ['tpm'] })
    await fresh.startAgent()
    await expectOpenedBy(fresh, 'tpm')
    const { generation, keyId } = (await knownStatus(live.node)).keyring ?? {}
    expect((await knownStatus(fresh)).keyring).toMatchObject({ generation, keyId })
    await killAgent(fresh)
    await rm(fresh.storePath, { recursive: true })
  })
})

describe('the enrolment of a new node', () => {
  it('is refused for a wrong fingerprint and a wrong cluster id; then the node opens by its TPM and joins the cluster', async () => {
    const { node } = live
    const [request, keyring] = [scope.folder.join('fresh.req'), scope.folder.join('fresh.keyring')]
    const asked = await onFresh('enroll', 'request', '--label', 'fresh', '--output', request, '--json')
    expect(asked).toMatchObject({ exitCode: 0 })
    const { fingerprint } = JSON.parse(asked.stdout) as { readonly fingerprint: string }
    const approve = async (shown: string) =>
      await node.sealctl(
        ...['enroll', 'approve', '--request', request, '--label', 'fresh'],
        ...['--fingerprint', shown, '--output', keyring],
      )
    const stranger = fingerprint.replace(/[0-9a-z]/i, digit => (digit === '2' ? '3' : '2'))
    expect(await approve(stranger)).toMatchObject({ exitCode: NOT_CONFIRMED })
    expect(await approve(fingerprint)).toMatchObject({ exitCode: 0 })

    const apply = async (id: string) => await onFresh('enroll', 'apply', '--keyring', keyring, '--cluster-id', id)
    expect(await apply(randomBytes(16).toString('hex'))).toMatchObject({
      exitCode: ERROR,
      stderr: expect.stringContaining('KEYRING_OTHER_CLUSTER: the keyring is of another cluster') as string,
    })
    expect(await onFresh('enroll', 'apply', '--keyring', keyring)).toMatchObject({
      exitCode: ERROR,
      stderr: expect.stringMatching(
        /LOCAL_CLUSTER_UNNAMED: .*name the cluster, with --cluster-id HEX or clusterId/,
      ) as string,
    })
    expect(await isStoreThere()).toBe(false)
    expect(await apply(clusterId)).toMatchObject({ exitCode: 0, stderr: '' })

    await fresh.startAgent()
    await expectOpenedBy(fresh, 'tpm')
    const [tpm] = await listedSeals(fresh)
    const member = tpm?.members.find(({ label }) => label === 'fresh')
    expect(member?.records.map(({ method }) => method)).toEqual(['tpm-sealed'])

    // Puts the connector in place: there is no seal key to hand over.
    await fresh.bootstrap('/nonexistent')
    await fresh.startOpenBao({ ...freshPorts, retryJoin: [node.openBao().apiAddress], until: 'standby' })
    expect(await knownStatus(fresh)).toMatchObject({ state: 'open', sessions: 1, openbao: { state: 'standby' } })
    await expectServes(node)
  })
})
