import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type ClusterVerdict, clusterFormed, type OpenBaoClient, openBaoClient } from '@sealwright/openbao'
import { type Secret } from '@sealwright/secret'
import { createSealedNode, type SealedNode, type SealedNodeConfig, type SealedOpenBaoOptions } from './sealed-node.ts'
import { certificateAuthority, RigError, type OpenBaoTls, freePort, waitUntil } from '@sealwright/testing-rig'

/** A node of a cluster, with how its OpenBao is started and asked. */
export interface ClusterNode {
  readonly node: SealedNode
  readonly openBaoOptions: SealedOpenBaoOptions
  readonly apiAddress: string
  readonly client: OpenBaoClient
}

/** Several machines with one seal key and one OpenBao cluster, TLS on, all on loopback. */
export interface SealedCluster extends AsyncDisposable {
  readonly nodes: readonly ClusterNode[]
  readonly directory: string
  readonly caPath: string
  /** The seal key in the form of the bootstrap Secret: a folder with `seal-key`. */
  readonly sealKeyPath: string
  /** Overwrites and removes the plain seal key. */
  destroySealKey(): Promise<void>
  /** Judges the whole cluster with a token that may read autopilot and raft configuration. */
  verdict(token: Secret, signal: AbortSignal): Promise<ClusterVerdict>
  /** Waits until the cluster has formed. */
  waitUntilFormed(token: Secret, timeoutMs: number, signal?: AbortSignal): Promise<void>
}

export interface SealedClusterOptions {
  /** Existing, private, with a short path. */
  readonly directory: string
  readonly nodeNames: readonly string[]
  readonly config?: SealedNodeConfig
}

const SEAL_KEY_BYTES = 32

/** Makes TPMs, certificates, configurations and the seal key. Starts no agent and no OpenBao yet. */
export async function createSealedCluster({
  directory,
  nodeNames,
  config,
}: SealedClusterOptions): Promise<SealedCluster> {
  const authority = await certificateAuthority({ directory: join(directory, 'tls') })
  const caPath = authority.certificatePath
  const ports = await Promise.all(nodeNames.map(async () => ({ api: await freePort(), cluster: await freePort() })))
  const addresses = ports.map(({ api }) => `https://127.0.0.1:${api}`)
  const nodes: ClusterNode[] = []
  const dispose = async (): Promise<void> => {
    // All at once: a node that waits for its peers ends sooner when they end too.
    await Promise.all(nodes.map(({ node }) => node[Symbol.asyncDispose]()))
    await Promise.all(nodes.map(({ client }) => client.close()))
  }
  try {
    for (const [index, name] of nodeNames.entries()) {
      const port = ports[index]
      const apiAddress = addresses[index]
      if (port === undefined || apiAddress === undefined) throw new RigError('RIG_INVALID', `no port for ${name}`)
      const nodeDirectory = join(directory, name)
      await mkdir(nodeDirectory, { mode: 0o700 })
      const issued = await authority.issue({ name, usage: 'server' })
      const tls: OpenBaoTls = { ...issued, caPath }
      const node = await createSealedNode({
        name,
        directory: nodeDirectory,
        config: { ...config, openbao: { address: apiAddress, caFile: caPath } },
      })
      nodes.push({
        node,
        apiAddress,
        openBaoOptions: { apiPort: port.api, clusterPort: port.cluster, tls, retryJoin: addresses },
        client: openBaoClient({ address: apiAddress, trust: { kind: 'ca-file', path: caPath } }),
      })
    }
  } catch (error) {
    await dispose()
    throw error
  }
  const sealKeyPath = await writeSealKey(join(directory, 'bootstrap'))

  const verdict = async (token: Secret, signal: AbortSignal): Promise<ClusterVerdict> => {
    const [first] = nodes
    if (first === undefined) throw new RigError('RIG_INVALID', 'a cluster needs a node')
    const sealStatuses = new Map(
      await Promise.all(
        nodes.map(async ({ node, client }) => [node.name, await client.sealStatus({ signal })] as const),
      ),
    )
    return clusterFormed({
      expectedVoters: [...nodeNames],
      autopilot: await first.client.autopilotState({ signal, token }),
      raft: await first.client.raftConfiguration({ signal, token }),
      sealStatuses,
    })
  }

  return {
    nodes,
    directory,
    caPath,
    sealKeyPath,
    destroySealKey: async () => {
      await overwriteAndRemove(join(sealKeyPath, 'seal-key'))
    },
    verdict,
    waitUntilFormed: async (token, timeoutMs, callerSignal) => {
      let last = 'no answer yet'
      await waitUntil(
        async signal => {
          try {
            const judged = await verdict(token, signal)
            last = JSON.stringify(judged)
            return judged.kind === 'formed'
          } catch (error) {
            // A node that is not up yet, or a cluster without a leader: look again until the deadline.
            callerSignal?.throwIfAborted()
            last = error instanceof Error ? error.message : String(error)
            return false
          }
        },
        {
          what: 'the whole cluster to form',
          timeoutMs,
          intervalMs: 50,
          describe: () => `last look: ${last}`,
          ...(callerSignal === undefined ? {} : { signal: callerSignal }),
        },
      )
    },
    [Symbol.asyncDispose]: dispose,
  }
}

/** Writes a fresh seal key as the bootstrap Secret would be mounted. The key never becomes a string here. */
async function writeSealKey(folder: string): Promise<string> {
  await mkdir(folder, { mode: 0o700 })
  const key = randomBytes(SEAL_KEY_BYTES)
  const text = base64Bytes(key)
  const file = await open(join(folder, 'seal-key'), 'wx', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
    key.fill(0)
    text.fill(0)
  }
  return folder
}

const BASE64_ALPHABET = new TextEncoder().encode('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')
const BASE64_PADDING = 0x3d

/** RFC 4648 §4, from bytes to bytes. */
function base64Bytes(bytes: Buffer): Uint8Array {
  const text = new Uint8Array(Math.ceil(bytes.length / 3) * 4).fill(BASE64_PADDING)
  let bits = 0
  let bitCount = 0
  let position = 0
  const emit = (sextet: number): void => {
    text[position++] = BASE64_ALPHABET[sextet & 0x3f] ?? BASE64_PADDING
  }
  for (const byte of bytes) {
    bits = (bits << 8) | byte
    bitCount += 8
    while (bitCount >= 6) {
      bitCount -= 6
      emit(bits >> bitCount)
    }
    bits &= (1 << bitCount) - 1
  }
  if (bitCount > 0) emit(bits << (6 - bitCount))
  return text
}

async function overwriteAndRemove(path: string): Promise<void> {
  const file = await open(path, 'r+')
  try {
    const { size } = await file.stat()
    await file.write(Buffer.alloc(size), 0, size, 0)
    await file.sync()
  } finally {
    await file.close()
  }
  await rm(path)
}
