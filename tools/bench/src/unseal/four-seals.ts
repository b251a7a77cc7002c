import { randomBytes, randomInt } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { createSealedNode, type SealedNode, type SealedNodeConfig } from '@sealwright/testing-cluster'
import { createSoftHsm, freePort, type OpenBaoNode, startOpenBao } from '@sealwright/testing-rig'

const KEY_BYTES = 32
const KEY_LABEL = 'sealwright'
const ACTIVE_TIMEOUT_MS = 60_000
const INIT_BODY = { recovery_shares: 1, recovery_threshold: 1 }

/** Two nodes on one TPM: one with four seals, one with the TPM alone. Only one agent runs at a time. */
export interface NodesToCompare extends AsyncDisposable {
  /** TPM, token of SoftHSM, transit key of a second OpenBao, shares: by priority 1 to 4. The first three have records. */
  readonly four: SealedNode
  /** What its configuration says, for whoever changes a part of it. */
  readonly fourConfig: SealedNodeConfig
  readonly single: SealedNode
}

/** Sets up both and gives all their seals a way in, but for the shares: they open nothing without people. */
export async function createNodesToCompare(directory: string): Promise<NodesToCompare> {
  await using made = new AsyncDisposableStack()
  const inside = async (name: string): Promise<string> => {
    await mkdir(`${directory}/${name}`, { mode: 0o700 })
    return `${directory}/${name}`
  }
  const second = made.use(await startSecondOpenBao(await inside('peer')))
  // An address, so that the agent loads what it loads in service; nobody listens there.
  const openbao = { address: `http://127.0.0.1:${await freePort()}` }
  const moreSeals = [
    await softHsmSeal(await inside('hsm')),
    await transitSeal(second, await inside('token')),
    { name: 'people', type: 'shamir', priority: 4 },
  ]
  const fourConfig = { openbao, moreSeals }
  const four = made.use(await createSealedNode({ name: 'four', directory: await inside('four'), config: fourConfig }))
  const single = made.use(
    await createSealedNode({
      name: 'single',
      directory: await inside('single'),
      config: { openbao, tpmSocketPath: four.tpm.socketPath },
    }),
  )
  await single.tpm.stop()
  for (const node of [four, single]) await bootstrapped(node)
  const resources = made.move()
  return { four, fourConfig, single, [Symbol.asyncDispose]: () => resources.disposeAsync() }
}

async function bootstrapped(node: SealedNode): Promise<void> {
  const keyPath = `${node.directory}/seal-key`
  await writeFile(keyPath, randomBytes(KEY_BYTES).toString('base64'), { mode: 0o600 })
  const { exitCode, stderr } = await node.bootstrap(keyPath)
  if (exitCode !== 0) throw new Error(`bootstrap-init ended with ${exitCode}: ${stderr}`)
}

async function softHsmSeal(directory: string): Promise<Readonly<Record<string, unknown>>> {
  const hsm = await createSoftHsm({ directory })
  const token = await hsm.addToken('node')
  // SoftHSM's tool takes no key with a zero byte.
  const bytes = Uint8Array.from({ length: KEY_BYTES }, () => randomInt(1, 256))
  await hsm.importAesKey(token, { bytes, id: randomBytes(16), label: KEY_LABEL })
  return {
    ...{ name: 'hsm', type: 'pkcs11', priority: 2, module: hsm.modulePath, environment: hsm.environment },
    ...{ token: { label: token.label }, key: { label: KEY_LABEL }, pinFile: token.pinFile },
  }
}

async function startSecondOpenBao(directory: string): Promise<OpenBaoNode> {
  const keyFile = `${directory}/static-key`
  await writeFile(keyFile, randomBytes(KEY_BYTES), { mode: 0o600 })
  const ports = { apiPort: await freePort(), clusterPort: await freePort() }
  return await startOpenBao({ directory, nodeId: 'peer', ...ports, seal: { kind: 'static', keyFile } })
}

async function transitSeal(peer: OpenBaoNode, directory: string): Promise<Readonly<Record<string, unknown>>> {
  const { body } = await peer.request({
    ...{ method: 'POST', path: 'sys/init', body: INIT_BODY, timeoutMs: ACTIVE_TIMEOUT_MS },
  })
  if (typeof body !== 'object' || body === null || !('root_token' in body) || typeof body.root_token !== 'string') {
    throw new Error('sys/init of the second OpenBao gave no root token')
  }
  const token = body.root_token
  await peer.waitFor('active')
  for (const [path, sent] of [
    ['sys/mounts/transit', { type: 'transit' }],
    [`transit/keys/${KEY_LABEL}`, { type: 'aes256-gcm96' }],
  ] as const) {
    const { status } = await peer.request({ method: 'POST', path, token, body: sent })
    if (status >= 300) throw new Error(`POST ${path} of the second OpenBao: ${status}`)
  }
  const tokenFile = `${directory}/token`
  await writeFile(tokenFile, token, { mode: 0o600 })
  return {
    ...{ name: 'peer', type: 'transit', priority: 3, address: peer.apiAddress, keyName: KEY_LABEL },
    auth: { method: 'token', tokenFile },
  }
}
