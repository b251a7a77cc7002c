import { type ClusterNode, type SealedNode, type SealedNodeConfig } from '@sealwright/testing-cluster'
import { waitUntil } from '@sealwright/testing-rig'
import { confirmedBreak } from './confirmed-break.ts'
import { askControl } from './control-request.ts'
import { formedCluster, type FormedCluster, leaderOf, waitUntilReplicated } from './formed-cluster.ts'
import { expectSealWorks } from './node-health.ts'
import { cutPower, hangUp } from './node-life.ts'
import { waitForAgentLine } from './node-log.ts'
import { createTestHsm, type TestHsm } from './parallel-hsm.ts'
import { OFTEN } from './parallel-node.ts'
import { controlJson, knownStatus, listedSeals, waitForMembers } from './parallel-status.ts'
import { sharedScope } from './test-scope.ts'

const scope = sharedScope()
const AT_RISK = 3
const ROTATE = '/v1/sys/rotate/seal-key'
const TIMEOUT_MS = 40_000
const LEADER_KEY_REFUSED =
  'the leader encrypts under a key that this node does not have: after a restart OpenBao would stay sealed here'

let formed: FormedCluster
let hsm: TestHsm

beforeAll(async () => {
  formed = await formedCluster(scope, { agent: OFTEN })
  hsm = await createTestHsm(scope)
  await Promise.all(allNodes().map(node => waitForMembers(node, 'tpm')))
})

const allNodes = (): readonly SealedNode[] => formed.cluster.nodes.map(({ node }) => node)

/** Waits until these nodes serve OpenBao under the same current key, and returns its id. */
async function expectAgreed(nodes: readonly SealedNode[]): Promise<string> {
  let last: unknown
  return await waitUntil(
    async () => {
      const all = await Promise.all(nodes.map(node => knownStatus(node)))
      last = all.map(({ keyring, openbao }) => ({ ...keyring, openbao: openbao.state }))
      const ids = new Set(all.map(({ keyring }) => keyring?.keyId))
      const [id] = ids
      const areServed = all.every(({ openbao }) => /^(active|standby)$/.test(openbao.state))
      return ids.size === 1 && areServed ? id : undefined
    },
    { what: 'all nodes to be open under one key', timeoutMs: TIMEOUT_MS, describe: () => JSON.stringify(last) },
  )
}

async function exportKeyring(node: SealedNode, name: string): Promise<string> {
  const path = scope.folder.join(name)
  expect(await node.sealctl('keyring', 'export', '--output', path)).toMatchObject({ exitCode: 0 })
  return path
}

async function startAll(nodes: readonly SealedNode[]): Promise<void> {
  await Promise.all(nodes.map(node => node.startAgent()))
  await Promise.all(nodes.map(node => node.openBao().start({ until: 'nothing' })))
  await Promise.all(nodes.map(node => node.waitForLog('agent serves')))
}

/** The configuration of a node with seals beside its TPM. */
function configOf({ apiAddress }: ClusterNode, more: SealedNodeConfig): SealedNodeConfig {
  return { agent: OFTEN, openbao: { address: apiAddress, caFile: formed.cluster.caPath }, ...more }
}

describe('two nodes that rotate the seal key at once', () => {
  it('agree on one key once each knows what the other did, and every node opens by it after a power cut', async () => {
    const { node: active } = await leaderOf(formed)
    const other = allNodes().find(node => node !== active)
    if (other === undefined) throw new Error('a cluster has another node')
    const answers = await Promise.all([active, other].map(node => askControl(node, ROTATE, 'POST')))
    expect(answers.map(({ status }) => status)).toEqual([200, 200])
    const made = answers.map(({ text }) => (JSON.parse(text) as { readonly keyId: string }).keyId)
    expect(new Set(made).size).toBe(2)

    // The leader's rotation comes to all by itself; the other one's is brought to it.
    const [fromActive, fromOther] = [await exportKeyring(active, 'active.key'), await exportKeyring(other, 'other.key')]
    expect(await active.sealctl('keyring', 'import', fromOther)).toMatchObject({ exitCode: 0 })
    expect(await other.sealctl('keyring', 'import', fromActive)).toMatchObject({ exitCode: 0 })
    const keyId = await expectAgreed(allNodes())
    expect(made).toContain(keyId)
    await expectSealWorks(active, formed.rootToken)
    await waitUntilReplicated(formed)
    await Promise.all(allNodes().map(node => cutPower(node)))
    await startAll(allNodes())
    expect(await expectAgreed(allNodes())).toBe(keyId)
  })
})

describe('a node that is off during rotations and a change of members', () => {
  it('comes back, opens by its own seal, and catches up', async () => {
    const now = await leaderOf(formed)
    const away = allNodes().find(node => node !== now.node)
    if (away === undefined) throw new Error('a cluster has another node')
    const others = allNodes().filter(node => node !== away)
    await waitUntilReplicated(formed)
    await cutPower(away)

    await now.node.writeConfig(configOf(now, { moreSeals: [hsm.seal()] }))
    await hangUp(now.node)
    await waitForMembers(now.node, 'hsm')
    for (let count = 0; count < 2; count += 1) await controlJson(now.node, ROTATE, 'POST')
    await expectSealWorks(now.node, formed.rootToken)
    const keyId = await expectAgreed(others)

    await startAll([away])
    expect(await expectAgreed(allNodes())).toBe(keyId)
    expect((await listedSeals(away)).map(({ name }) => name)).toContain('hsm')
  })
})

describe('after the way in of a member was taken away for good', () => {
  let away: SealedNode
  /** Its configuration does not say which cluster it belongs to. */
  let unsure: ClusterNode
  let keyId: string

  beforeAll(async () => {
    const now = await leaderOf(formed)
    const [one, other] = formed.cluster.nodes.filter(({ node }) => node !== now.node)
    if (one === undefined || other === undefined) throw new Error('a cluster of three has two more')
    away = one.node
    unsure = other
    await exchangeKeyrings()
    await setClusterId(now)
    await setClusterId(one)
    await waitUntilReplicated(formed)
    await cutPower(away)

    const member = (await listedSeals(now.node)).find(({ name }) => name === 'hsm')?.members[0]
    const { memberId = '', label = '' } = member ?? {}
    const revoke = ['members', 'revoke', 'hsm', memberId, '--confirm', label]
    const servers = formed.cluster.nodes.map(({ node }) => node.name).join(',')
    const revoked = await confirmedBreak(now.node, ...revoke, '--nodes', servers)
    expect(revoked).toMatchObject({ exitCode: 0, stderr: '' })
    await expectSealWorks(now.node, formed.rootToken)
    keyId = (await knownStatus(now.node)).keyring?.keyId ?? ''
  })

  it('a node that was off meanwhile comes back, opens by what was wrapped for its TPM, and seals that anew', async () => {
    const now = await leaderOf(formed)
    await startAll([away])
    expect(await expectAgreed([now.node, away])).toBe(keyId)
    await waitUntil(async () => (await ownMethods(away)).every(method => method === 'tpm-sealed'), {
      what: 'records of its own making',
      timeoutMs: TIMEOUT_MS,
    })
  })

  it('a node that cannot follow, for want of a cluster id, is called at risk: its next start would fail', async () => {
    await waitForAgentLine(unsure.node, { msg: LEADER_KEY_REFUSED, keyId })
    const { exitCode, stdout } = await unsure.node.sealctl('status')
    expect([exitCode, stdout]).toEqual([AT_RISK, expect.stringContaining('state clusterId there')])
    expect(stdout).toContain(`encrypts under the key ${keyId}, which this node does not have`)
    expect(await knownStatus(unsure.node)).toMatchObject({ refusedKeyring: { code: 'KEYRING_ORIGIN_UNPROVEN', keyId } })
    expect((await askControl(unsure.node, '/metrics')).text).toContain('sealwright_keyring_refused 1\n')
  })

  it('it follows once the cluster id is in its configuration, and all open after a power cut', async () => {
    await setClusterId(unsure)
    expect(await expectAgreed(allNodes())).toBe(keyId)
    expect(await unsure.node.sealctl('status')).toMatchObject({ exitCode: 0 })
    await waitUntilReplicated(formed)
    await Promise.all(allNodes().map(node => cutPower(node)))
    await startAll(allNodes())
    expect(await expectAgreed(allNodes())).toBe(keyId)
  })

  /** Every agent gets the keyring of every other one, as an operator does it before a chain is broken. */
  async function exchangeKeyrings(): Promise<void> {
    for (const from of allNodes()) {
      const file = await exportKeyring(from, `all-${from.name}.key`)
      for (const to of allNodes()) expect(await to.sealctl('keyring', 'import', file)).toMatchObject({ exitCode: 0 })
    }
  }

  async function setClusterId(node: ClusterNode): Promise<void> {
    const { keyring } = await knownStatus(node.node)
    await node.node.writeConfig(configOf(node, { clusterId: keyring?.clusterId ?? '' }))
    await hangUp(node.node)
  }

  /** How the records of a node's own TPM were made. */
  async function ownMethods(node: SealedNode): Promise<readonly string[]> {
    const members = (await listedSeals(node)).flatMap(({ members: all }) => all)
    return members
      .filter(({ label }) => label === node.name)
      .flatMap(({ records }) => records.map(({ method }) => method))
  }
})
