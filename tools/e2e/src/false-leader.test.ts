import { mkdir } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import { type AddressInfo } from 'node:net'
import { createSealedNode, type SealedNode } from '@sealwright/testing-cluster'
import { freePort } from '@sealwright/testing-rig'
import { waitForOpenBaoLog } from './node-log.ts'
import { openNode, type OpenedNode } from './served-node.ts'
import { storedInSnapshot } from './stored-blob.ts'
import { testScope, type TestScope } from './test-scope.ts'

/*
 * Somebody has a snapshot, and reaches a node of the cluster that has not joined yet. They tell it to join them
 * (`sys/storage/raft/join` takes no token), and give it the blob of the root key as if it were a challenge. OpenBao decrypts
 * whatever it gets through its seal, and sends the plaintext back.
 */

const CHALLENGE_PATH = '/v1/sys/storage/raft/bootstrap/challenge'
const ROOT_KEY_ENTRY = 'core/hsm/barrier-unseal-keys'

const scope = testScope()
let leader: OpenedNode

beforeEach(async () => {
  leader = await openNode(scope)
})

describe('a false leader with the blob of the root key', () => {
  it('gets nothing decrypted but a challenge, and the node joins the real one afterwards', async () => {
    const joiner = await newMember(scope, leader)
    const stolen = await storedInSnapshot(leader.node.openBao(), {
      key: ROOT_KEY_ENTRY,
      token: leader.rootToken,
      path: scope.folder.join('stolen.snap'),
    })
    const stranger = await falseLeader(scope, leader.node.openBao().apiAddress, stolen)

    const joined = await join(joiner, stranger.address)
    expect(joined.status).toBe(500)
    await waitForOpenBaoLog(joiner, 'this OpenBao is not initialised')
    expect(stranger.challenges()).toBeGreaterThan(0)
    expect(stranger.answers).toEqual([])

    // The same stranger learns what a challenge opens to: that is what challenges are for.
    stranger.handOnGenuine()
    await join(joiner, stranger.address)
    expect(stranger.answers).toHaveLength(1)

    expect(await join(joiner, leader.node.openBao().apiAddress)).toMatchObject({ status: 200, body: { joined: true } })
    await joiner.openBao().waitFor('standby')
  })

  it('keeps OpenBao sealed while nobody can say whether it is initialised, and says what to configure', async () => {
    const { node, config } = leader
    await node.openBao().stop()
    await node.agent().stop()
    await node.writeConfig({})
    await node.startAgent()
    await node.openBao().start({ until: 'listening' })
    await waitForOpenBaoLog(node, 'SEAL_OPENBAO_UNKNOWN')
    await waitForOpenBaoLog(node, 'its address is not configured (openbao.address)')
    expect((await node.sealctl('status')).stdout).toMatch(
      /^verdict +AT RISK\n +openbao.address is missing in the configuration/m,
    )

    await node.agent().stop()
    await node.writeConfig(config)
    await node.startAgent()
    await node.openBao().waitFor('active')
  })
})

/** A node of the same cluster, bootstrapped and with its agent open; its OpenBao runs and has joined nobody. */
async function newMember(testing: TestScope, { sealKeyPath }: OpenedNode): Promise<SealedNode> {
  const directory = testing.folder.join('j')
  await mkdir(directory, { mode: 0o700 })
  const ports = { apiPort: await freePort(), clusterPort: await freePort() }
  const config = { openbao: { address: `http://127.0.0.1:${ports.apiPort}` } }
  const joiner = testing.use(await createSealedNode({ name: 'joiner', directory, config }))
  expect(await joiner.bootstrap(sealKeyPath)).toMatchObject({ exitCode: 0 })
  await joiner.startAgent()
  await joiner.startOpenBao({ ...ports, until: 'uninitialised' })
  return joiner
}

async function join(node: SealedNode, leaderAddress: string) {
  return await node.openBao().request({
    method: 'POST',
    path: 'sys/storage/raft/join',
    body: { leader_api_addr: leaderAddress },
    timeoutMs: 60_000,
  })
}

interface FalseLeader {
  readonly address: string
  readonly challenges: () => number
  /** What joining nodes have sent back. */
  readonly answers: readonly string[]
  /** From now on challenges of the real leader are handed on. */
  readonly handOnGenuine: () => void
}

/** Answers for a challenge with `blob`, in the words of the real leader, and keeps what it is sent back. */
async function falseLeader(testing: TestScope, realAddress: string, blob: Buffer): Promise<FalseLeader> {
  let challenges = 0
  let isGenuine = false
  const answers: string[] = []
  const server = createServer((request, response) => {
    void (async () => {
      const body = await readAll(request)
      if (request.url !== CHALLENGE_PATH) {
        answers.push(body)
        response.writeHead(400).end('{"errors":[]}')
        return
      }
      challenges += 1
      const real = await fetch(realAddress + CHALLENGE_PATH, { method: 'PUT', body })
      const answer = (await real.json()) as { data: { challenge: string } }
      if (!isGenuine) answer.data.challenge = blob.toString('base64')
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
    })()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  testing.use({
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  })
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    challenges: () => challenges,
    answers,
    handOnGenuine: () => {
      isGenuine = true
    },
  }
}

async function readAll(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}
