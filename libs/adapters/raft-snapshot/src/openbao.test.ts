import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { gunzipSync, gzipSync } from 'node:zlib'
import {
  freePort,
  type OpenBaoNode,
  type OpenBaoSettings,
  startOpenBao,
  temporaryFolder,
  type TemporaryFolder,
} from '@sealwright/testing-rig'
import { MAX_RESTORABLE_PART_BYTES } from './limits.ts'
import { readParts, readSmallPart } from './parts.ts'
import { readRaftSnapshot } from './read-raft-snapshot.ts'
import { readSealFacts } from './seal-facts.ts'
import { codeOf, inPieces, signal } from './testing/read.ts'
import { delimited, type Member, tarOf } from './testing/write-snapshot.ts'

/**
 * One real OpenBao from its first start to the restore of a snapshot. The tests are one story: each leaves the cluster as the next one
 * needs it.
 */
let folder: TemporaryFolder
let node: OpenBaoNode
let token: string
const started: OpenBaoNode[] = []

/** Enough that the server is still sending when it is killed. */
const LARGE_VALUES = 40
const LARGE_VALUE_BYTES = 700_000

const FIRST_KEY_ID = 'first-key'
const SECOND_KEY_ID = 'second-key'

async function start(
  changes: Partial<OpenBaoSettings> & Pick<OpenBaoSettings, 'seal' | 'nodeId'>,
): Promise<OpenBaoNode> {
  const server = await startOpenBao({
    directory: folder.join(changes.nodeId),
    apiPort: await freePort(),
    clusterPort: await freePort(),
    ...changes,
  })
  started.push(server)
  return server
}

async function keyFile(name: string): Promise<string> {
  const path = folder.join(name)
  await writeFile(path, randomBytes(32), { mode: 0o600 })
  return path
}

async function snapshotBody(from: OpenBaoNode, withToken: string): Promise<AsyncIterable<Uint8Array>> {
  const response = await fetch(`${from.apiAddress}/v1/sys/storage/raft/snapshot`, {
    headers: { 'X-Vault-Token': withToken },
  })
  expect(response.status).toBe(200)
  if (response.body === null) throw new Error('an answer without a body')
  return response.body
}

async function restore(body: Uint8Array, path: 'snapshot' | 'snapshot-force') {
  const response = await fetch(`${node.apiAddress}/v1/sys/storage/raft/${path}`, {
    method: 'POST',
    headers: { 'X-Vault-Token': token },
    body: Uint8Array.from(body),
  })
  return { status: response.status, text: await response.text() }
}

async function bytesOf(input: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of input) chunks.push(chunk)
  return Buffer.concat(chunks)
}

const names = (blob: Uint8Array | undefined, keyId: string): boolean => Buffer.from(blob ?? []).includes(keyId)

beforeAll(async () => {
  folder = await temporaryFolder()
  const seal = { kind: 'static', keyFile: await keyFile('first.key'), keyId: FIRST_KEY_ID } as const
  node = await start({ nodeId: 'n1', seal })
  const body = { recovery_shares: 1, recovery_threshold: 1 }
  const init = await node.request({ method: 'PUT', path: 'sys/init', body, timeoutMs: 60_000 })
  token = (init.body as { root_token: string }).root_token
  await node.waitFor('active')
  await node.request({ method: 'POST', path: 'sys/mounts/kv', body: { type: 'kv' }, token })
})

afterAll(async () => {
  await Promise.all(started.map(async server => await server.stop()))
  await folder.remove()
})

it('is read while it is downloaded', async () => {
  await node.request({ method: 'POST', path: 'kv/first', body: { value: 'one' }, token })
  const keys: string[] = []
  const snapshot = await readRaftSnapshot(await snapshotBody(node, token), {
    signal,
    wants: () => true,
    onEntry: ({ key }) => {
      keys.push(key)
    },
  })
  const { host } = new URL(node.clusterAddress)
  expect(snapshot.metadata).toMatchObject({
    version: 1,
    id: 'bolt-snapshot',
    servers: [{ id: 'n1', address: host, suffrage: 'voter' }],
  })
  expect(snapshot.metadata.index).toBeGreaterThan(snapshot.metadata.configurationIndex)
  expect(keys.filter(key => /^logical\/[0-9a-f-]{36}\/first$/.test(key))).toHaveLength(1)
  expect(keys).toContain('core/keyring')
  expect(snapshot.entryCount).toBe(keys.length)
  expect(names(snapshot.sealedSums, FIRST_KEY_ID)).toBe(true)
})

it('shows when no blob names the old seal key any more', async () => {
  const before = await readSealFacts(await snapshotBody(node, token), { signal })
  expect(before.sealConfig).toEqual({ type: 'static', secretShares: 1, secretThreshold: 1 })
  expect(before.recoveryConfig).toEqual({ type: 'shamir', secretShares: 1, secretThreshold: 1 })
  expect([before.storedKeys, before.recoveryKey].map(blob => names(blob, FIRST_KEY_ID))).toEqual([true, true])

  const previous = { keyFile: folder.join('first.key'), keyId: FIRST_KEY_ID }
  const seal = { kind: 'static', keyFile: await keyFile('second.key'), keyId: SECOND_KEY_ID, previous } as const
  await node.restart({ seal, until: 'active' })
  // It wraps anew shortly after it has become active.
  const rewrapped = async (): Promise<boolean> => {
    const { storedKeys, recoveryKey, snapshot } = await readSealFacts(await snapshotBody(node, token), { signal })
    const blobs = [storedKeys, recoveryKey, snapshot.sealedSums]
    return blobs.every(blob => names(blob, SECOND_KEY_ID) && !names(blob, FIRST_KEY_ID))
  }
  await node.waitFor(rewrapped, { what: 'no blob under the first key' })
})

it('names each server of a cluster, and what it may do', async () => {
  const seal = { kind: 'static', keyFile: folder.join('second.key'), keyId: SECOND_KEY_ID } as const
  const second = await start({ nodeId: 'n2', seal, retryJoin: [node.apiAddress] })
  await second.waitFor('unsealed')
  const { metadata } = await readRaftSnapshot(await snapshotBody(node, token), { signal })
  expect(metadata.servers.map(({ id }) => id).sort()).toEqual(['n1', 'n2'])
  expect(metadata.servers.find(({ id }) => id === 'n2')).toMatchObject({
    address: new URL(second.clusterAddress).host,
    suffrage: expect.stringMatching(/^(non)?voter$/) as string,
  })
  await node.request({ method: 'POST', path: 'sys/storage/raft/remove-peer', body: { server_id: 'n2' }, token })
  await second.stop()
  const alone = await readRaftSnapshot(await snapshotBody(node, token), { signal })
  expect(alone.metadata.servers.map(({ id }) => id)).toEqual(['n1'])
})

it('is taken back by OpenBao only while each small part has less than 8 KiB', async () => {
  const archive = gunzipSync(await bytesOf(await snapshotBody(node, token)))
  const parts: Member[] = []
  for await (const open of readParts(inPieces(archive))) {
    parts.push({ name: open.part, bytes: await readSmallPart(open) })
  }
  /** An unknown field (15, length-delimited) makes the blob longer and changes nothing for the seal. */
  const padded = (blob: Uint8Array, byteLength: number): Uint8Array => {
    const field = delimited([Buffer.alloc(byteLength - blob.byteLength - 3)])
    return Buffer.concat([blob, Uint8Array.of(0x7a), field])
  }
  const withSealed = (byteLength: number): Buffer => {
    const [meta, state, sums, sealed] = parts
    if (meta === undefined || state === undefined || sums === undefined || sealed === undefined)
      throw new Error('no part')
    return gzipSync(tarOf([meta, state, sums, { ...sealed, bytes: padded(sealed.bytes, byteLength) }]))
  }

  for (const path of ['snapshot', 'snapshot-force'] as const) {
    const large = withSealed(MAX_RESTORABLE_PART_BYTES + 1)
    const { partsTooLargeToRestore } = await readRaftSnapshot(inPieces(large), { signal })
    expect(partsTooLargeToRestore).toEqual(['SHA256SUMS.sealed'])
    const refused = await restore(large, path)
    expect(refused.status).toBe(500)
    expect(refused.text).toContain('read max specified bytes (8192) without EOF')
  }
  const largest = withSealed(MAX_RESTORABLE_PART_BYTES)
  expect((await readRaftSnapshot(inPieces(largest), { signal })).partsTooLargeToRestore).toEqual([])
  expect(await restore(largest, 'snapshot')).toEqual({ status: 204, text: '' })
  await node.waitFor(async server => (await server.request({ path: 'kv/first', token })).status === 200, {
    what: 'the restored entry',
  })
})

it('is refused when the download is cut, whether the connection tells it or not', async () => {
  await node.waitFor('active')
  for (let number = 0; number < LARGE_VALUES; number += 1) {
    const body = { value: randomBytes(LARGE_VALUE_BYTES).toString('base64').slice(0, LARGE_VALUE_BYTES) }
    const { status } = await node.request({ method: 'POST', path: `kv/large-${number}`, body, token })
    expect(status).toBe(204)
  }
  const whole = await bytesOf(await snapshotBody(node, token))
  const half = whole.subarray(0, whole.byteLength / 2)
  expect(await codeOf(readRaftSnapshot(inPieces(half, 65_536), { signal }))).toBe('RAFT_SNAPSHOT_TRUNCATED')

  const body = await snapshotBody(node, token)
  async function* killedMeanwhile(): AsyncGenerator<Uint8Array> {
    let ended = false
    for await (const chunk of body) {
      yield chunk
      if (ended) continue
      node.kill('SIGKILL')
      await node.process().exited
      ended = true
    }
  }
  expect(await codeOf(readRaftSnapshot(killedMeanwhile(), { signal }))).toBe('RAFT_SNAPSHOT_INPUT_FAILED')
})

it('of a cluster with a Shamir seal has no recovery key', async () => {
  const server = await start({ nodeId: 's1', seal: { kind: 'shamir' } })
  const init = await server.request({
    method: 'PUT',
    path: 'sys/init',
    body: { secret_shares: 1, secret_threshold: 1 },
    timeoutMs: 60_000,
  })
  const { keys, root_token: rootToken } = init.body as { keys: readonly string[]; root_token: string }
  await server.request({ method: 'PUT', path: 'sys/unseal', body: { key: keys[0] } })
  await server.waitFor('active')
  const facts = await readSealFacts(await snapshotBody(server, rootToken), { signal })
  expect(facts.sealConfig).toEqual({ type: 'shamir', secretShares: 1, secretThreshold: 1 })
  expect(facts.recoveryConfig).toBeUndefined()
  expect(facts.recoveryKey).toBeUndefined()
  expect(facts.storedKeys.byteLength).toBeGreaterThan(0)
  expect(facts.snapshot.sealedSums.byteLength).toBeGreaterThan(0)
})
