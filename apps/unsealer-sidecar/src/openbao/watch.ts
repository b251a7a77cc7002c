import { type OpenBaoView } from '@sealwright/control-api'
import { type NodeConfig } from '@sealwright/node-config'
import { type Health, type OpenBaoClient, openBaoClient, OpenBaoError } from '@sealwright/openbao'
import { type Membership } from './join-guard.ts'

/** A status must not wait long for a server that may be down. */
const TIMEOUT_MS = 2_000

/** The leader keeps one challenge under each name: a fixed one, so that they do not pile up. No server is called this. */
const CHALLENGE_NAME = 'sealwright-agent'

/** Looks at the OpenBao beside this agent. */
export interface OpenBaoWatch extends AsyncDisposable {
  /** Whatever keeps us from looking is part of the view. */
  view(signal: AbortSignal): Promise<OpenBaoView>
  /**
   * What the seal of the raft leader has just encrypted, so that it carries the leader's keyring; `undefined` while this OpenBao is
   * no unsealed member of a cluster.
   *
   * @throws {OpenBaoError}
   */
  leaderBlob(signal: AbortSignal): Promise<Uint8Array | undefined>
  /** Whether it holds the data of a cluster. */
  membership(signal: AbortSignal): Promise<Membership>
}

/**
 * Prepares to look at the OpenBao of this node's configuration.
 *
 * Its CA file is read with the first look, and again after every look at which it did not fit: a file that comes late, or is
 * replaced, needs no restart.
 */
export function watchOpenBao({ address, caFile }: NonNullable<NodeConfig['openbao']>): OpenBaoWatch {
  let client: OpenBaoClient | undefined
  const connect = (): OpenBaoClient =>
    openBaoClient({ address, timeoutMs: TIMEOUT_MS, connectTimeoutMs: TIMEOUT_MS, ...trustFor(address, caFile) })
  const readHealth = async (signal: AbortSignal): Promise<Health> => {
    const asked = (client ??= connect())
    try {
      return await asked.health({ signal })
    } catch (error) {
      if (error instanceof OpenBaoError && error.code === 'OPENBAO_TLS' && client === asked) {
        // The authority may have changed since: its file is read again with the next look.
        client = undefined
        await asked.close()
      }
      throw error
    }
  }
  return {
    async leaderBlob(signal) {
      const { kind } = await readHealth(signal)
      if (kind !== 'active' && kind !== 'standby') return undefined
      return await (client ??= connect()).raftChallenge(CHALLENGE_NAME, { signal })
    },
    async membership(signal) {
      try {
        const { kind } = await readHealth(signal)
        // A server that fails to read its own data has some, and joins nobody.
        return { kind: kind === 'uninitialised' ? 'uninitialised' : 'initialised' }
      } catch (error) {
        if (!(error instanceof OpenBaoError)) throw error
        signal.throwIfAborted()
        return { kind: 'unknown', reason: `${error.code}: ${error.message}` }
      }
    },
    async view(signal) {
      try {
        const health = await readHealth(signal)
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
