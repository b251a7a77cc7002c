import { randomBytes } from 'node:crypto'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generateAesKey, pkcs11Module } from '@sealwright/pkcs11'
import { Secret } from '@sealwright/secret'
import { createSealedCluster, type SealedCluster, type SealedNodeConfig } from '@sealwright/testing-cluster'
import {
  createSoftHsm,
  freePort,
  type OpenBaoNode,
  repositoryRoot,
  startOpenBao,
  type TemporaryFolder,
} from '@sealwright/testing-rig'
import { LabError } from '../errors.ts'

/** The seals of the story, best priority first. */
export const SEAL_NAMES = ['tpm', 'hsm', 'backup', 'emergency'] as const

export type SealName = (typeof SEAL_NAMES)[number]

/** Three nodes with a TPM each, a token that all reach, another OpenBao, and people. */
export interface World extends AsyncDisposable {
  readonly cluster: SealedCluster
  /** The configuration of a node with the seals of these names beside its TPM. */
  configOf(index: number, more: readonly Exclude<SealName, 'tpm'>[]): SealedNodeConfig
  /** Takes the devices of seals away, or brings them back: the TPMs of all nodes, the token, the other OpenBao. */
  setPresent(seal: Exclude<SealName, 'emergency'>, isPresent: boolean): Promise<void>
}

const DEADLINE_MS = 20_000
const INIT_TIMEOUT_MS = 60_000
const KEY_NAME = 'sealwright'

export async function createWorld(folder: TemporaryFolder, nodeNames: readonly string[]): Promise<World> {
  await using resources = new AsyncDisposableStack()
  const cluster = resources.use(
    await createSealedCluster({
      directory: folder.path,
      nodeNames,
      config: { agent: { learnIntervalMs: 500, probeIntervalMs: 5_000 } },
    }),
  )
  const hsm = await createToken(folder)
  const transit = await startTransit(folder)
  resources.defer(async () => {
    await transit.server.stop()
  })
  const absent = new Set<string>()

  const seals: Readonly<Record<Exclude<SealName, 'tpm'>, Readonly<Record<string, unknown>>>> = {
    hsm: {
      ...{ name: 'hsm', type: 'pkcs11', priority: 2, module: hsm.modulePath, token: { label: hsm.label } },
      ...{ key: { label: KEY_NAME }, pinFile: hsm.pinFile, environment: hsm.environment, deadlineMs: DEADLINE_MS },
    },
    backup: {
      ...{ name: 'backup', type: 'transit', priority: 3, address: transit.server.apiAddress, keyName: KEY_NAME },
      ...{ auth: { method: 'token', tokenFile: transit.tokenFile }, deadlineMs: 5_000 },
    },
    emergency: { name: 'emergency', type: 'shamir', priority: 100 },
  }

  const world: World = {
    cluster,
    configOf(index, more) {
      const node = cluster.nodes[index]
      if (node === undefined) throw new LabError(`there is no node ${index}`)
      return {
        agent: { learnIntervalMs: 500, probeIntervalMs: 5_000 },
        openbao: { address: node.apiAddress, caFile: cluster.caPath },
        moreSeals: more.map(name => seals[name]),
      }
    },
    async setPresent(seal, isPresent) {
      if (absent.has(seal) === !isPresent) return
      if (isPresent) absent.delete(seal)
      else absent.add(seal)
      switch (seal) {
        case 'tpm':
          await Promise.all(cluster.nodes.map(({ node }) => (isPresent ? node.tpm.start() : node.tpm.kill())))
          return
        case 'hsm':
          await (isPresent
            ? rename(`${hsm.tokenDirectory}-away`, hsm.tokenDirectory)
            : rename(hsm.tokenDirectory, `${hsm.tokenDirectory}-away`))
          return
        case 'backup':
          if (isPresent) await transit.server.start({ until: 'active' })
          else {
            transit.server.kill()
            await transit.server.process().exited
          }
      }
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
  const kept = resources.move()
  return world
}

interface LabToken {
  readonly modulePath: string
  readonly environment: Readonly<Record<string, string>>
  readonly tokenDirectory: string
  readonly label: string
  readonly pinFile: string
}

/** A token with an AES key that never leaves it. */
async function createToken(folder: TemporaryFolder): Promise<LabToken> {
  const hsm = await createSoftHsm({ directory: folder.join('hsm') })
  const { label, pin: digits, pinFile } = await hsm.addToken('sealwright')
  const { modulePath, environment, tokenDirectory } = hsm
  const spawn = {
    command: process.execPath,
    args: ['--disable-sigusr1', join(repositoryRoot(), 'apps/unsealer-sidecar/dist/pkcs11-process.mjs')],
    environment,
  }
  await using module = pkcs11Module({ modulePath, spawn })
  using pin = new Secret(new TextEncoder().encode(digits))
  const { signal } = new AbortController()
  await generateAesKey(
    { module, token: { label }, pin, timeoutMs: DEADLINE_MS },
    { label: KEY_NAME, randomBytes },
    { signal },
  )
  return { modulePath, environment, tokenDirectory, label, pinFile }
}

interface LabTransit {
  readonly server: OpenBaoNode
  readonly tokenFile: string
}

/** Another OpenBao, with a transit key and a token that may use it. */
async function startTransit(folder: TemporaryFolder): Promise<LabTransit> {
  const keyFile = folder.join('other.key')
  await writeFile(keyFile, randomBytes(32), { mode: 0o600 })
  const server = await startOpenBao({
    ...{ directory: folder.join('other'), nodeId: 'other', apiPort: await freePort(), clusterPort: await freePort() },
    seal: { kind: 'static', keyFile },
  })
  const { body } = await server.request({
    ...{ method: 'PUT', path: 'sys/init', timeoutMs: INIT_TIMEOUT_MS },
    body: { recovery_shares: 1, recovery_threshold: 1 },
  })
  const token = (body as { readonly root_token: string }).root_token
  await server.waitFor('active')
  for (const [path, sent] of [
    ['sys/mounts/transit', { type: 'transit' }],
    [`transit/keys/${KEY_NAME}`, { type: 'aes256-gcm96' }],
  ] as const) {
    const { status } = await server.request({ method: 'POST', path, token, body: sent })
    if (status >= 300) throw new LabError(`the other OpenBao answers ${path} with ${status}`)
  }
  const tokenFile = folder.join('other.token')
  await writeFile(tokenFile, token, { mode: 0o600 })
  return { server, tokenFile }
}
