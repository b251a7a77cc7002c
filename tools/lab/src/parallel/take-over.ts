import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CONNECTOR_NAME, createSealedNode } from '@sealwright/testing-cluster'
import { freePort, startOpenBao, type TemporaryFolder } from '@sealwright/testing-rig'
import { LabError } from '../errors.ts'

const KEY_ID = 'k1'
const INIT_TIMEOUT_MS = 60_000

/** An OpenBao that runs with `seal "static"`: stopped, started again behind the agent with the same key, and nothing else done. */
export async function takeOverStatic({
  folder,
}: {
  readonly folder: TemporaryFolder
  readonly signal: AbortSignal
}): Promise<boolean> {
  const directory = folder.join('taken')
  await mkdir(directory, { mode: 0o700 })
  const [apiPort, clusterPort] = [await freePort(), await freePort()]
  const address = `http://127.0.0.1:${apiPort}`
  await using node = await createSealedNode({
    ...{ name: 'taken', directory },
    config: { agent: { sealType: 'static' }, openbao: { address } },
  })
  const key = randomBytes(32)
  const keyFile = join(directory, 'static.key')
  await writeFile(keyFile, key, { mode: 0o600 })
  await using server = await startOpenBao({
    ...{ directory: join(directory, 'bao'), nodeId: 'taken', apiPort, clusterPort },
    seal: { kind: 'static', keyFile, keyId: KEY_ID },
  })
  const { body } = await server.request({
    ...{ method: 'PUT', path: 'sys/init', timeoutMs: INIT_TIMEOUT_MS },
    body: { recovery_shares: 1, recovery_threshold: 1 },
  })
  const token = (body as { readonly root_token: string }).root_token
  await server.waitFor('active')
  const write = await server.request({ method: 'POST', path: 'cubbyhole/proof', token, body: { value: 'kept' } })
  if (write.status >= 300) throw new LabError(`the server to be taken over answers with ${write.status}`)

  const handed = join(directory, 'bootstrap')
  await mkdir(handed, { mode: 0o700 })
  await writeFile(join(handed, 'seal-key'), key.toString('base64'), { mode: 0o600 })
  await writeFile(join(handed, 'key-id'), KEY_ID, { mode: 0o600 })
  const { exitCode, stderr } = await node.bootstrap(handed)
  if (exitCode !== 0) throw new LabError(`bootstrap-init ended with ${exitCode}: ${stderr.trim()}`)
  await node.startAgent()
  await server.restart({
    seal: {
      kind: 'sealwright',
      ...{ pluginDirectory: node.pluginDirectory, command: CONNECTOR_NAME, args: [node.ipcDirectory] },
    },
    until: 'active',
  })
  const status = await server.request({ path: 'sys/seal-status' })
  const read = await server.request({ path: 'cubbyhole/proof', token })
  const { type, migration } = status.body as { readonly type: string; readonly migration: boolean }
  const value = (read.body as { data?: { value?: string } } | undefined)?.data?.value
  return type === 'static' && !migration && value === 'kept'
}
