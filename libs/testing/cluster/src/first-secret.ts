import { type KvPath, type OpenBaoClient, OpenBaoError } from '@sealwright/openbao'
import { type Secret } from '@sealwright/secret'
import { waitUntil } from '@sealwright/testing-rig'

const READY_TIMEOUT_MS = 60_000

/** Mounts a kv engine and writes its first secret. For a moment after the mount OpenBao refuses writes there: that is waited for. */
export async function writeFirstSecret(
  client: OpenBaoClient,
  path: KvPath,
  data: Readonly<Record<string, Secret>>,
  { token, signal }: { readonly token: Secret; readonly signal: AbortSignal },
): Promise<void> {
  await client.enableKv(path.mount, { signal, token })
  await waitUntil(
    async waitSignal => {
      try {
        return await client.kvPut(path, data, { signal: waitSignal, token })
      } catch (error) {
        if (error instanceof OpenBaoError && error.code === 'OPENBAO_BAD_REQUEST') return undefined
        throw error
      }
    },
    { what: 'the kv engine to take a secret', timeoutMs: READY_TIMEOUT_MS, signal },
  )
}
