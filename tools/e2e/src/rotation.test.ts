import { waitUntil } from '@sealwright/testing-rig'
import { askControl } from './control-request.ts'
import { formedCluster, waitUntilReplicated } from './formed-cluster.ts'
import { cutPower } from './node-life.ts'
import { statusOf } from './node-health.ts'
import { testScope } from './test-scope.ts'

const FORM_TIMEOUT_MS = 120_000
const scope = testScope()

describe('a rotation of the seal key', () => {
  it('reaches every node through OpenBao itself, and all open after a power cut', async () => {
    const formed = await formedCluster(scope, { agent: { learnIntervalMs: 500 } })
    const { cluster, rootToken } = formed
    const states = await Promise.all(cluster.nodes.map(({ node }) => node.openBao().state()))
    const leader = cluster.nodes[states.indexOf('active')]
    if (leader === undefined) throw new Error('no leader')
    const before = await statusOf(leader.node)

    const { status, text } = await askControl(leader.node, '/v1/sys/rotate/seal-key', 'POST')
    expect(status).toBe(200)
    const { keyId } = JSON.parse(text) as { readonly keyId: string }
    expect(keyId).not.toBe(before.keyring?.keyId)
    // Nobody but its own agent knows the new key yet; the others learn it from the leader while they stand by.
    await waitUntil(
      async () =>
        (await Promise.all(cluster.nodes.map(({ node }) => statusOf(node, '--no-probe')))).every(
          ({ keyring }) => keyring?.keyId === keyId,
        ),
      { what: 'all agents to know the new key', timeoutMs: FORM_TIMEOUT_MS },
    )
    const rewrapped = await leader.node.openBao().request({ method: 'POST', path: 'sys/rotate/root', token: rootToken })
    expect(rewrapped.status).toBe(204)
    await waitUntilReplicated(formed)

    await Promise.all(cluster.nodes.map(({ node }) => cutPower(node)))
    await Promise.all(cluster.nodes.map(({ node }) => node.startAgent()))
    await Promise.all(cluster.nodes.map(({ node }) => node.openBao().start({ until: 'nothing' })))
    await Promise.all(cluster.nodes.map(({ node }) => node.waitForLog('agent serves')))
    await waitUntil(
      async () => {
        const now = await Promise.all(cluster.nodes.map(({ node }) => statusOf(node, '--no-probe')))
        return now.every(({ keyring, openbao }) => keyring?.keyId === keyId && /^(active|standby)$/.test(openbao.state))
      },
      { what: 'all nodes to be open under the new key', timeoutMs: FORM_TIMEOUT_MS },
    )
  })
})
