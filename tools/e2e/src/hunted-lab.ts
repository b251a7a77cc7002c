import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { get } from 'node:https'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { decodeKeyring } from '@sealwright/keyring'
import { Secret } from '@sealwright/secret'
import {
  type ClusterNode,
  createSealedCluster,
  type SealedCluster,
  type SealedNode,
  writeFirstSecret,
} from '@sealwright/testing-cluster'
import { proxySocket, type SocketProxy, waitUntil } from '@sealwright/testing-rig'
import { unsealKek } from '@sealwright/tpm'
import { expectPrograms } from './node-programs.ts'
import { type TestScope } from './test-scope.ts'

/** Two nodes, whose TPM traffic is recorded. */
export interface HuntedLab {
  readonly cluster: SealedCluster
  readonly first: ClusterNode
  /** Wraps the seal key on each node. */
  bootstrap(): Promise<void>
  /** Starts everything, initialises the cluster, writes a secret. */
  initialise(): Promise<void>
  /** Kills every OpenBao and agent, cuts the power of every TPM, starts all again, and reads the secret. */
  losePower(): Promise<void>
  takeSnapshot(path: string): Promise<void>
  /** Each direction of each bus, from the beginning. */
  tpmTraffic(): readonly Buffer[]
  countUnseals(): number
}

/** Command code of TPM2_Unseal as it travels (TPM 2.0 Part 2, clause 6.5.2). */
const TPM_CC_UNSEAL = Buffer.from('0000015e', 'hex')
const COMMAND_CODE_OFFSET = 6
const ACTIVE = { what: 'an active node', timeoutMs: 60_000 }
const TPM_TIMEOUT_MS = 20_000
const SECRET_PATH = { mount: 'secret', path: 'lab/proof' } as const

/** Makes the lab in the folder of the test; nothing but the TPMs runs yet. */
export async function createHuntedLab(scope: TestScope): Promise<HuntedLab> {
  const { signal } = new AbortController()
  scope.afterwards(() => expectPrograms(scope.folder.path))
  const cluster = scope.use(
    await createSealedCluster({ directory: scope.folder.path, nodeNames: ['node-a', 'node-b'] }),
  )
  const { nodes } = cluster
  const [first] = nodes
  if (first === undefined) throw new Error('the cluster has no node')
  const buses = await Promise.all(nodes.map(async node => scope.use(await listenOnBus(node, cluster.caPath))))
  const recorded = () => buses.flatMap(bus => bus.recorded)
  let token = new Secret(new Uint8Array())
  scope.afterwards(() => {
    token.wipe()
  })

  const findActive = async (): Promise<ClusterNode | undefined> => {
    const states = await Promise.all(nodes.map(({ node }) => node.openBao().state()))
    return nodes[states.indexOf('active')]
  }
  const waitUntilAllServe = async (): Promise<void> => {
    await Promise.all(nodes.map(({ node }) => node.openBao().waitFor('unsealed')))
    await waitUntil(findActive, ACTIVE)
  }

  return {
    cluster,
    first,
    async bootstrap() {
      for (const { node } of nodes) {
        expect(await node.bootstrap(cluster.sealKeyPath)).toMatchObject({ exitCode: 0, stderr: '' })
      }
    },
    async initialise() {
      await Promise.all(nodes.map(({ node }) => node.startAgent()))
      await Promise.all(nodes.map(({ node, openBaoOptions }) => node.startOpenBao(openBaoOptions)))
      const { rootToken } = await first.client.init({ recoveryShares: 1, recoveryThreshold: 1 }, { signal })
      token = rootToken
      await waitUntilAllServe()
      const proof = new Secret(Buffer.from('written'))
      await writeFirstSecret(first.client, SECRET_PATH, { proof }, { signal, token })
    },
    async losePower() {
      for (const { node } of nodes) {
        node.openBao().kill('SIGKILL')
        node.agent().kill('SIGKILL')
      }
      await Promise.all(nodes.flatMap(({ node }) => [node.openBao().process().exited, node.agent().exited]))
      await Promise.all(nodes.map(({ node }) => node.tpm.powerCycle()))
      await Promise.all(nodes.map(({ node }) => node.startAgent()))
      await Promise.all(nodes.map(({ node }) => node.openBao().start({ until: 'nothing' })))
      await waitUntilAllServe()
      expect((await first.client.kvGet(SECRET_PATH, { signal, token }))?.data.size).toBe(1)
    },
    async takeSnapshot(path) {
      const { apiAddress } = await waitUntil(findActive, ACTIVE)
      const snapshot = await download(`${apiAddress}/v1/sys/storage/raft/snapshot`, cluster.caPath, token)
      expect(snapshot.length).toBeGreaterThan(1_000)
      await writeFile(path, snapshot, { mode: 0o600 })
    },
    tpmTraffic: () =>
      buses.flatMap(bus =>
        (['client-to-server', 'server-to-client'] as const).map(direction =>
          Buffer.concat(bus.recorded.flatMap(piece => (piece.direction === direction ? [piece.bytes] : []))),
        ),
      ),
    countUnseals: () =>
      recorded().filter(({ bytes }) =>
        Buffer.from(bytes.subarray(COMMAND_CODE_OFFSET, COMMAND_CODE_OFFSET + 4)).equals(TPM_CC_UNSEAL),
      ).length,
  }
}

/** Has a node's own TPM unseal the KEK of its record, as the agent does. */
export async function kekOf(node: SealedNode): Promise<Uint8Array> {
  const { records } = decodeKeyring(await readFile(join(node.storePath, 'keyring')))
  const access = {
    transport: { kind: 'unix', path: node.tpm.socketPath },
    timeoutMs: TPM_TIMEOUT_MS,
    randomBytes,
  } as const
  // Those of other nodes' TPMs are refused.
  const tried = await Promise.allSettled(records.map(({ sealedKek }) => unsealKek(access, sealedKek)))
  const opened = tried.find(each => each.status === 'fulfilled')
  if (opened === undefined) throw new Error('the keyring has no record of this TPM')
  return opened.value.reveal(bytes => Uint8Array.from(bytes))
}

/** Puts a recording proxy between an agent and its TPM. */
async function listenOnBus({ node, apiAddress }: ClusterNode, caFile: string): Promise<SocketProxy> {
  const listenPath = join(node.directory, 'bus.sock')
  const bus = await proxySocket({ listenPath, targetPath: node.tpm.socketPath })
  await node.writeConfig({ tpmSocketPath: listenPath, openbao: { address: apiAddress, caFile } })
  return bus
}

async function download(url: string, caPath: string, token: Secret): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const headers = token.reveal(bytes => ({ 'X-Vault-Token': Buffer.from(bytes).toString('latin1') }))
  get(url, { ca: await readFile(caPath), headers, agent: false }, response => {
    expect(response.statusCode).toBe(200)
    buffer(response).then(resolve, reject)
  }).on('error', reject)
  return await promise
}
