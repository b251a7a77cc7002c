import { type Secret } from '@sealwright/secret'
import {
  type AutopilotState,
  type HaNode,
  type Leader,
  parseAutopilotState,
  parseHaStatus,
  parseLeader,
  parseRaftConfiguration,
  type RaftConfiguration,
} from './cluster.ts'
import {
  type Health,
  HEALTH_STATUSES,
  parseHealth,
  parseInitStatus,
  parseSealStatus,
  type SealStatus,
} from './health.ts'
import { initBody, type InitRequest, type InitResult, parseInit } from './init.ts'
import {
  encodePath,
  kvDataPath,
  type KvPath,
  kvPutBody,
  type KvSecret,
  parseKvAbsent,
  parseKvSecret,
  parseKvVersion,
} from './kv.ts'
import { parseRaftChallenge, raftChallengeBody } from './raft.ts'
import {
  type Answer,
  type AuthenticatedCall,
  type Call,
  type OpenBaoClientOptions,
  openTransport,
} from './transport.ts'

/** `operator init` takes 8 s with the server's default raft timing, and its answer must not be missed. */
const INIT_TIMEOUT_MS = 120_000

/**
 * One OpenBao node over HTTP. Each function may throw {@link OpenBaoError} with any code but `OPENBAO_ADDRESS_INVALID`;
 * none repeats a request or follows a redirect.
 */
export interface OpenBaoClient extends AsyncDisposable {
  readonly health: (call: Call) => Promise<Health>
  readonly sealStatus: (call: Call) => Promise<SealStatus>
  /** Whether the node holds an initialised barrier. */
  readonly initStatus: (call: Call) => Promise<boolean>
  /**
   * Initialises a cluster that has an automatic seal. Its answer comes once: after `OPENBAO_TIMEOUT`,
   * `OPENBAO_CANCELLED` or `OPENBAO_CONNECTION_CUT` the cluster may be initialised with keys that nobody knows.
   */
  readonly init: (request: InitRequest, call: Call) => Promise<InitResult>
  readonly leader: (call: Call) => Promise<Leader>
  readonly raftConfiguration: (call: AuthenticatedCall) => Promise<RaftConfiguration>
  /** Forwarded to the leader; `OPENBAO_REDIRECTED` is the tell of a lost quorum. */
  readonly autopilotState: (call: AuthenticatedCall) => Promise<AutopilotState>
  /** Forwarded to the leader; `OPENBAO_REDIRECTED` is the tell of a lost quorum. */
  readonly haStatus: (call: AuthenticatedCall) => Promise<readonly HaNode[]>
  /**
   * Mounts a kv version 2 engine. `OPENBAO_BAD_REQUEST` if the path is in use. For a moment afterwards OpenBao answers
   * reads and writes there with `OPENBAO_BAD_REQUEST`, "Upgrading from non-versioned to versioned data".
   */
  readonly enableKv: (mount: string, call: AuthenticatedCall) => Promise<void>
  /** Writes a new version and returns its number. The values stay the caller's. */
  readonly kvPut: (path: KvPath, data: Readonly<Record<string, Secret>>, call: AuthenticatedCall) => Promise<number>
  /** The newest version; null if there is none. */
  readonly kvGet: (path: KvPath, call: AuthenticatedCall) => Promise<KvSecret | null>
  /**
   * Has the leader's seal encrypt a challenge, as for a server that wants to join. Needs no token; a standby forwards it.
   *
   * @param serverId - under which the leader keeps it until the next one; one fixed name for each caller, so that nothing piles up.
   * @returns The serialised blob.
   */
  readonly raftChallenge: (serverId: string, call: Call) => Promise<Uint8Array>
  /** Makes a new root key and has the seal encrypt it. Forwarded to the leader. */
  readonly rotateRoot: (call: AuthenticatedCall) => Promise<void>
  /** The token is worth nothing afterwards. */
  readonly tokenRevokeSelf: (call: AuthenticatedCall) => Promise<void>
  /** Ends all connections, and calls that still wait with `OPENBAO_CONNECTION_CUT`. */
  readonly close: () => Promise<void>
}

/**
 * Makes a client for one node. Nothing is sent before the first call.
 *
 * @throws {@link OpenBaoError} `OPENBAO_ADDRESS_INVALID`, `OPENBAO_TLS` (a CA file that cannot be used).
 */
export function openBaoClient(options: OpenBaoClientOptions): OpenBaoClient {
  const { send, close } = openTransport(options)

  const get = async (path: string, call: Call): Promise<Answer> =>
    await send({ method: 'GET', path, call, expected: [200] })

  const post = async (
    path: string,
    body: Uint8Array | undefined,
    call: Call,
    expected: number[],
    secrets: () => readonly Secret[] = () => [],
  ): Promise<Answer> => {
    try {
      return await send({ method: 'POST', path, call, expected, secrets, ...(body === undefined ? {} : { body }) })
    } finally {
      body?.fill(0)
    }
  }

  return {
    health: async call =>
      parseHealth(await send({ method: 'GET', path: 'sys/health', call, expected: HEALTH_STATUSES })),
    sealStatus: async call => parseSealStatus(await get('sys/seal-status', call)),
    initStatus: async call => parseInitStatus(await get('sys/init', call)),
    init: async (request, call) =>
      parseInit(await post('sys/init', initBody(request), { timeoutMs: INIT_TIMEOUT_MS, ...call }, [200])),
    leader: async call => parseLeader(await get('sys/leader', call)),
    raftConfiguration: async call => parseRaftConfiguration(await get('sys/storage/raft/configuration', call)),
    autopilotState: async call => parseAutopilotState(await get('sys/storage/raft/autopilot/state', call)),
    haStatus: async call => parseHaStatus(await get('sys/ha-status', call)),
    enableKv: async (mount, call) => {
      const body = new TextEncoder().encode(JSON.stringify({ type: 'kv', options: { version: '2' } }))
      await post(`sys/mounts/${encodePath(mount)}`, body, call, [204])
    },
    kvPut: async (path, data, call) =>
      parseKvVersion(await post(kvDataPath(path), kvPutBody(data), call, [200], () => Object.values(data))),
    kvGet: async (path, call) => {
      const answer = await send({ method: 'GET', path: kvDataPath(path), call, expected: [200, 404] })
      return answer.status === 404 ? parseKvAbsent(answer) : parseKvSecret(answer)
    },
    raftChallenge: async (serverId, call) =>
      parseRaftChallenge(await post('sys/storage/raft/bootstrap/challenge', raftChallengeBody(serverId), call, [200])),
    rotateRoot: async call => {
      await post('sys/rotate/root', undefined, call, [204])
    },
    tokenRevokeSelf: async call => {
      await post('auth/token/revoke-self', undefined, call, [204])
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}
