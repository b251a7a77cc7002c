import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { KMS_KEY, KMS_POLICY } from '@sealwright/testing-kms'
import { freePort, type OpenBaoNode, startOpenBao, waitUntil, waitUntilApplied } from '@sealwright/testing-rig'
import { type KmsSubject, startSubject } from './kms-subject.ts'
import { sharedScope } from './test-scope.ts'

// A cluster of three, and plugins that know one, two or all of its nodes. Each test leaves all three as they were.
const scope = sharedScope()

const TIMEOUT_MS = 60_000

let nodes: readonly OpenBaoNode[] = []
let token: string
let rootToken: string
let subjects = 0

beforeAll(async () => {
  const keyFile = scope.folder.join('seal.key')
  await writeFile(keyFile, randomBytes(32), { mode: 0o600 })
  const places = await Promise.all(
    ['n1', 'n2', 'n3'].map(async nodeId => ({ nodeId, apiPort: await freePort(), clusterPort: await freePort() })),
  )
  const retryJoin = places.map(({ apiPort }) => `http://127.0.0.1:${apiPort}`)
  nodes = await Promise.all(
    places.map(async place =>
      scope.use(
        await startOpenBao({
          ...{ ...place, directory: scope.folder.join(place.nodeId), seal: { kind: 'static', keyFile }, retryJoin },
        }),
      ),
    ),
  )
  token = await prepareCluster()
}, 180_000)

describe('a plugin that knows one standby', () => {
  it('is served by it alone', async () => {
    const [, standby] = await byRole()
    const subject = await subjectOn([standby])
    expect([await subject.encrypt(), await subject.decrypt()]).toEqual(['OK', 'OK'])
    await subject.waitUntilWell()
  })
})

describe('a plugin that knows two nodes', () => {
  it.each<[string, (node: OpenBaoNode) => unknown, (node: OpenBaoNode) => unknown]>([
    [
      'killed',
      async node => {
        node.kill()
        await node.process().exited
      },
      async node => {
        await node.start({ until: 'unsealed' })
      },
    ],
    [
      'frozen',
      node => {
        node.kill('SIGSTOP')
      },
      node => {
        node.kill('SIGCONT')
      },
    ],
    [
      'sealed',
      // Sealing is asked of the node itself: it seals no other.
      async node => await node.request({ method: 'PUT', path: 'sys/seal', token: rootToken }),
      async node => {
        await node.restart({ until: 'unsealed' })
      },
    ],
  ])('loses no call while its first one is %s, and uses it again afterwards', async (_, harm, mend) => {
    // Two standbys: what becomes of one changes nothing for the cluster.
    const [, first, second] = await byRole()
    const subject = await subjectOn([first, second])
    await harm(first)
    // Many in a row, the first of them while nobody knows yet.
    for (let call = 0; call < 20; call += 1) expect(await subject.decrypt()).toBe('OK')
    expect(await subject.encrypt()).toBe('OK')
    await subject.waitUntilWell()
    await mend(first)
    await waitUntil(async () => (await first.state()) === 'standby', { what: 'its return', timeoutMs: TIMEOUT_MS })
    // Now the other one is gone.
    second.kill()
    await second.process().exited
    await subject.waitForDecrypt('OK')
    expect(await subject.encrypt()).toBe('OK')
    await second.start({ until: 'standby' })
    await subject.waitUntilWell()
  })
})

describe('a plugin that knows all three', () => {
  it('is served while the leader is killed and another one chosen, and afterwards', async () => {
    const [leader, ...standbys] = await byRole()
    await waitUntilAllVote(leader)
    const subject = await subjectOn([leader, ...standbys])
    leader.kill()
    await leader.process().exited
    await subject.waitForDecrypt('OK')
    await waitUntil(async () => (await Promise.all(standbys.map(node => node.state()))).includes('active'), {
      ...{ what: 'a new leader', timeoutMs: TIMEOUT_MS },
    })
    await subject.waitForDecrypt('OK')
    expect(await subject.encrypt()).toBe('OK')
    await subject.waitUntilWell()
    await leader.start({ until: 'standby' })
  })

  it('decrypts with what is left of a cluster that has lost its quorum, by the token that it has', async () => {
    const [leader, first, second] = await byRole()
    await waitUntilAllVote(leader)
    const subject = await subjectOn([leader, first, second])
    await waitUntilApplied(leader, [first, second], { timeoutMs: TIMEOUT_MS })
    for (const node of [leader, first]) {
      node.kill()
      await node.process().exited
    }
    await subject.waitForDecrypt('OK')
    expect(await subject.encrypt()).toBe('OK')
    for (const node of [leader, first]) await node.start({ until: 'unsealed' })
    await byRole()
    await subject.waitUntilWell()
  })
})

async function subjectOn(known: readonly OpenBaoNode[]): Promise<KmsSubject> {
  subjects += 1
  const tokenFile = scope.folder.join('kms.token')
  return await startSubject(scope, {
    name: `plugin-${subjects}`,
    backend: {
      ...{ type: 'transit', addresses: known.map(({ apiAddress }) => apiAddress), keyName: KMS_KEY },
      auth: { method: 'token', tokenFile },
    },
    forbidden: [KMS_KEY, token, tokenFile, 'transit/', ...nodes.map(({ apiAddress }) => new URL(apiAddress).host)],
  })
}

/** The leader, and the two standbys; waits until that is what they are. */
async function byRole(): Promise<[OpenBaoNode, OpenBaoNode, OpenBaoNode]> {
  return await waitUntil(
    async () => {
      const states = await Promise.all(nodes.map(async node => ({ node, state: await node.state() })))
      const having = (wanted: string): readonly OpenBaoNode[] =>
        states.filter(({ state }) => state === wanted).map(({ node }) => node)
      const [leader, first, second] = [...having('active'), ...having('standby')]
      const isWhole = having('active').length === 1 && having('standby').length === 2
      return isWhole && leader !== undefined && first !== undefined && second !== undefined
        ? [leader, first, second]
        : false
    },
    { what: 'one leader and two standbys', timeoutMs: TIMEOUT_MS },
  )
}

/** A server that has just joined, or come back, has no vote for some seconds. */
async function waitUntilAllVote(leader: OpenBaoNode): Promise<void> {
  await leader.waitFor(
    async () => {
      const { body } = await leader.request({ path: 'sys/storage/raft/autopilot/state', token: rootToken })
      return (body as { readonly data: { readonly failure_tolerance: number } }).data.failure_tolerance === 1
    },
    { what: 'a cluster that can lose a node', timeoutMs: TIMEOUT_MS },
  )
}

/** Initialises the cluster, and makes key, policy and token. */
async function prepareCluster(): Promise<string> {
  const [first] = nodes
  if (first === undefined) throw new Error('there are three nodes')
  const { body } = await first.request({
    ...{ method: 'PUT', path: 'sys/init', timeoutMs: TIMEOUT_MS },
    body: { recovery_shares: 1, recovery_threshold: 1 },
  })
  rootToken = (body as { readonly root_token: string }).root_token
  const [leader, ...standbys] = await byRole()
  const ask = async (path: string, fields: object): Promise<unknown> => {
    const answer = await leader.request({ method: 'POST', path, body: fields, token: rootToken })
    if (answer.status >= 300) throw new Error(`OpenBao answers ${path} with ${JSON.stringify(answer)}`)
    return answer.body
  }
  await ask('sys/mounts/transit', { type: 'transit' })
  await ask(`transit/keys/${KMS_KEY}`, { type: 'aes256-gcm96' })
  await ask('sys/policies/acl/kms', { policy: KMS_POLICY })
  const made = await ask('auth/token/create', { policies: ['kms'], no_default_policy: true, ttl: '1h' })
  const { client_token: text } = (made as { readonly auth: { readonly client_token: string } }).auth
  await writeFile(scope.folder.join('kms.token'), text, { mode: 0o600 })
  await waitUntilApplied(leader, standbys, { timeoutMs: TIMEOUT_MS })
  return text
}
