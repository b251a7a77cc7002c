import { type OpenBaoView } from '@sealwright/control-api'
import { type NodeConfig } from '@sealwright/node-config'
import { type OpenBaoClient, openBaoClient, OpenBaoError } from '@sealwright/openbao'

/** A status must not wait long for a server that may be down. */
const TIMEOUT_MS = 2_000

/** Looks at the OpenBao beside this agent. */
export interface OpenBaoWatch extends AsyncDisposable {
  /** Whatever keeps us from looking is part of the view. */
  view(signal: AbortSignal): Promise<OpenBaoView>
}

/**
 * Prepares to look at the OpenBao of this node's configuration.
 *
 * Its CA file is read with the first look, and again until it can be used: a file that is not there yet is no reason to
 * keep OpenBao sealed.
 */
export function watchOpenBao({ address, caFile }: NonNullable<NodeConfig['openbao']>): OpenBaoWatch {
  let client: OpenBaoClient | undefined
  const connect = (): OpenBaoClient =>
    openBaoClient({ address, timeoutMs: TIMEOUT_MS, connectTimeoutMs: TIMEOUT_MS, ...trustFor(address, caFile) })
  return {
    async view(signal) {
      try {
        client ??= connect()
        const health = await client.health({ signal })
        if (health.kind === 'failing') {
          return { state: 'unreachable', address, code: 'OPENBAO_FAILING', message: health.errors.join('; ') }
        }
        const clusterId = 'clusterId' in health ? health.clusterId : undefined
        return {
          state: health.kind,
          address,
          version: health.version,
          ...(clusterId === undefined ? {} : { clusterId }),
        }
      } catch (error) {
        if (!(error instanceof OpenBaoError)) throw error
        return { state: 'unreachable', address, code: error.code, message: error.message }
      }
    },
    async [Symbol.asyncDispose]() {
      await client?.close()
    },
  }
}

function trustFor(address: string, caFile: string | undefined) {
  if (!address.startsWith('https://')) return {}
  return { trust: caFile === undefined ? ({ kind: 'system' } as const) : ({ kind: 'ca-file', path: caFile } as const) }
}
