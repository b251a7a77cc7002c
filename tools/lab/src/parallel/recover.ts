import { mkdir, writeFile } from 'node:fs/promises'
import { type Secret } from '@sealwright/secret'
import { createSealedNode, runProgramToEnd } from '@sealwright/testing-cluster'
import { freePort, type TemporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { LabError } from '../errors.ts'
import { bao } from './bao.ts'

const TIMEOUT_MS = 120_000

/** What a recovery begins with, beside an empty machine. */
export interface RecoverInput {
  readonly folder: TemporaryFolder
  /** Path of a raft snapshot. */
  readonly snapshot: string
  readonly shares: readonly Secret[]
  /** A token of the cluster that is gone: it is good again afterwards. */
  readonly token: Secret
  readonly proof: Secret
  readonly secretPath: { readonly mount: string; readonly path: string }
  readonly signal: AbortSignal
}

/** A new machine with a TPM that nobody knows: recovers the keyring by shares, then the data by the snapshot. */
export async function recoverByShares(input: RecoverInput): Promise<boolean> {
  const { folder, snapshot, shares, token, proof, secretPath, signal } = input
  const directory = folder.join('new')
  await mkdir(directory, { mode: 0o700 })
  const [apiPort, clusterPort] = [await freePort(), await freePort()]
  const address = `http://127.0.0.1:${apiPort}`
  await using node = await createSealedNode({ name: 'new', directory, config: { openbao: { address } } })
  const files = await Promise.all(
    shares.map(async (share, index) => {
      const path = folder.join(`share-${index}`)
      await share.reveal(async bytes => {
        await writeFile(path, bytes, { mode: 0o600 })
      })
      return path
    }),
  )
  const { exitCode, stderr } = await runProgramToEnd('sealctl', [
    ...['recover', '--config', node.configPath, '--snapshot', snapshot],
    ...files.flatMap(path => ['--share-file', path]),
  ])
  if (exitCode !== 0) throw new LabError(`sealctl recover ended with ${exitCode}: ${stderr.trim()}`)
  // Puts the connector in place: there is no seal key to hand over any more.
  await node.bootstrap('/nonexistent')
  await node.startAgent()
  const server = await node.startOpenBao({ apiPort, clusterPort, until: 'uninitialised' })
  const { body } = await server.request({
    ...{ method: 'PUT', path: 'sys/init', timeoutMs: TIMEOUT_MS },
    body: { recovery_shares: 1, recovery_threshold: 1 },
  })
  const newToken = (body as { readonly root_token: string }).root_token
  await server.waitFor('active')
  await bao({ address, token: newToken }, ['operator', 'raft', 'snapshot', 'restore', snapshot])
  return await waitUntil(
    async () => {
      const found = await server.request({
        path: `${secretPath.mount}/data/${secretPath.path}`,
        token: token.reveal(bytes => Buffer.from(bytes).toString()),
      })
      const value = (found.body as { data?: { data?: { proof?: string } } } | undefined)?.data?.data?.proof
      return value !== undefined && proof.reveal(bytes => Buffer.from(bytes).toString()) === value
    },
    { what: 'the secret out of the snapshot', timeoutMs: TIMEOUT_MS, signal },
  )
}
