import { mkdir } from 'node:fs/promises'
import { createSealedNode, type SealedNode, type SealedNodeConfig } from '@sealwright/testing-cluster'
import { freePort, waitUntil } from '@sealwright/testing-rig'
import { bao } from './bao-command.ts'
import { confirmedBreak, shownFingerprint } from './confirmed-break.ts'
import { waitUntilApplied } from './formed-cluster.ts'
import { expectSealWorks } from './node-health.ts'
import { boot, cutPower, hangUp } from './node-life.ts'
import { OFTEN } from './parallel-node.ts'
import { knownStatus, listedSeals } from './parallel-status.ts'
import { type OpenedNode, openNode } from './served-node.ts'
import { sharedScope } from './test-scope.ts'

const scope = sharedScope()
const REFUSED = 4
const TIMEOUT_MS = 60_000
const BREAK = ['rotate', '--break-chain']

let first: OpenedNode
let second: SealedNode
let secondConfig: SealedNodeConfig

beforeAll(async () => {
  first = await openNode(scope, { agent: OFTEN })
  const directory = scope.folder.join('second')
  await mkdir(directory, { mode: 0o700 })
  const ports = { apiPort: await freePort(), clusterPort: await freePort() }
  secondConfig = { agent: OFTEN, openbao: { address: `http://127.0.0.1:${ports.apiPort}` } }
  second = scope.use(await createSealedNode({ name: 'second', directory, config: secondConfig }))
  // Each node of a new cluster gets the same seal key, and makes a keyring with its own TPM alone.
  expect(await second.bootstrap(first.sealKeyPath)).toMatchObject({ exitCode: 0 })
  await second.startAgent()
  await second.startOpenBao({ ...ports, retryJoin: [first.node.openBao().apiAddress], until: 'standby' })
})

async function snapshotNow(name: string): Promise<string> {
  const path = scope.folder.join(name)
  await bao(first.node.openBao(), ['operator', 'raft', 'snapshot', 'save', path], first.rootToken)
  return path
}

const keyIdOf = async (node: SealedNode): Promise<string | undefined> => (await knownStatus(node)).keyring?.keyId

describe('sealctl rotate --break-chain', () => {
  it('is refused while OpenBao has a server whose TPM the keyring does not list: nothing would open that one again', async () => {
    const { node } = first
    const before = await keyIdOf(node)
    for (const servers of [
      ['--snapshot', await snapshotNow('before.snap')],
      ['--nodes', 'solo,second'],
    ]) {
      const { exitCode, stdout, stderr } = await confirmedBreak(node, ...BREAK, ...servers)
      expect({ exitCode, stdout }).toEqual({ exitCode: REFUSED, stdout: '' })
      expect(stderr).toContain('OPERATION_NODES_UNKNOWN')
      expect(stderr).toContain('the server second')
    }
    expect(await keyIdOf(node)).toBe(before)
  })

  it('is refused if the members are not those that were confirmed', async () => {
    const { node } = first
    const seen = await shownFingerprint(node, ...BREAK, '--nodes', 'solo')
    const file = scope.folder.join('second.keyring')
    expect(await second.sealctl('keyring', 'export', '--output', file)).toMatchObject({ exitCode: 0 })
    expect(await node.sealctl('keyring', 'import', file)).toMatchObject({ exitCode: 0 })
    const { exitCode, stderr } = await node.sealctl(...BREAK, '--nodes', 'solo', '--members', seen)
    expect([exitCode, stderr]).toEqual([REFUSED, expect.stringContaining('OPERATION_MEMBERS_CHANGED')])
  })

  it('leaves nobody out once all are known and confirmed: both nodes open by themselves after a power cut', async () => {
    const { node, rootToken } = first
    const before = await keyIdOf(node)
    const { clusterId = '' } = (await knownStatus(second)).keyring ?? {}
    await second.writeConfig({ ...secondConfig, clusterId })
    await hangUp(second)
    const broken = await confirmedBreak(node, ...BREAK, '--snapshot', await snapshotNow('known.snap'))
    expect(broken).toMatchObject({ exitCode: 0, stderr: '' })
    const keyId = await keyIdOf(node)
    expect(keyId).not.toBe(before)
    const members = (await listedSeals(node)).flatMap(seal => seal.members)
    expect(members.map(({ label }) => label).toSorted()).toEqual(['second', 'solo'])
    await waitForKey(second, keyId)
    await expectSealWorks(node, rootToken)
    await waitUntilApplied(node, [second])

    await Promise.all([node, second].map(each => cutPower(each)))
    await Promise.all([node, second].map(each => boot(each)))
    for (const each of [node, second]) {
      await waitForKey(each, keyId)
      await waitUntil(async () => /^(active|standby)$/.test(await each.openBao().state()), {
        what: `OpenBao of ${each.name} to be open`,
        timeoutMs: TIMEOUT_MS,
      })
    }
  })
})

async function waitForKey(node: SealedNode, keyId: string | undefined): Promise<void> {
  await node.waitForLog('agent serves')
  await waitUntil(async () => (await keyIdOf(node)) === keyId, {
    what: `${node.name} to be open under ${String(keyId)}`,
    timeoutMs: TIMEOUT_MS,
  })
}
