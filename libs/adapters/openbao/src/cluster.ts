import {
  field,
  type JsonObject,
  optional,
  parseJsonObject,
  type Place,
  readBoolean,
  readCount,
  readList,
  readObject,
  readString,
} from './json.ts'
import { type Answer } from './transport.ts'

/** `sys/leader`: whom this node believes to be the leader, even when that one is long dead. */
export interface Leader {
  readonly isSelf: boolean
  /** API address; undefined while none is known. */
  readonly leaderAddress: string | undefined
  readonly raftCommittedIndex: number | undefined
  readonly raftAppliedIndex: number | undefined
}

export function parseLeader({ body, request }: Answer): Leader {
  const place = { request, path: '' }
  const object = parseJsonObject(body, request)
  return {
    isSelf: field(object, 'is_self', readBoolean, place),
    leaderAddress: field(object, 'leader_address', optional(readString), place),
    raftCommittedIndex: field(object, 'raft_committed_index', optional(readCount), place),
    raftAppliedIndex: field(object, 'raft_applied_index', optional(readCount), place),
  }
}

/** One member of the raft configuration. A dead one stays in it. */
export interface RaftServer {
  readonly nodeId: string
  /** Host and port of the cluster listener. */
  readonly address: string
  readonly leader: boolean
  readonly voter: boolean
}

/** `sys/storage/raft/configuration`, answered by each node from its own log. */
export interface RaftConfiguration {
  readonly servers: readonly RaftServer[]
}

export function parseRaftConfiguration(answer: Answer): RaftConfiguration {
  const [data, place] = dataOf(answer)
  const config = field(data, 'config', readObject, place)
  const readServer = (value: unknown, at: Place): RaftServer => {
    const server = readObject(value, at)
    return {
      nodeId: field(server, 'node_id', readString, at),
      address: field(server, 'address', readString, at),
      leader: field(server, 'leader', readBoolean, at),
      voter: field(server, 'voter', readBoolean, at),
    }
  }
  return { servers: field(config, 'servers', readList(readServer), { ...place, path: 'data.config' }) }
}

/** `sys/storage/raft/autopilot/state`, always the leader's view. */
export interface AutopilotState {
  readonly healthy: boolean
  /** How many more voters may fail before the quorum is lost. */
  readonly failureTolerance: number
  /** Node id; undefined while there is none. */
  readonly leader: string | undefined
  /** Node ids. */
  readonly voters: readonly string[]
  readonly servers: readonly AutopilotServer[]
}

export interface AutopilotServer {
  readonly nodeId: string
  readonly healthy: boolean
  /** `leader`, `voter` or `non-voter`. */
  readonly status: string
}

export function parseAutopilotState(answer: Answer): AutopilotState {
  const [data, place] = dataOf(answer)
  const servers = field(data, 'servers', optional(readObject), place) ?? {}
  return {
    healthy: field(data, 'healthy', readBoolean, place),
    failureTolerance: field(data, 'failure_tolerance', readCount, place),
    leader: field(data, 'leader', optional(readString), place),
    voters: field(data, 'voters', optional(readList(readString)), place) ?? [],
    servers: Object.entries(servers).map(([nodeId, value], index) => {
      // By its number: the name is the server's own word.
      const at = { ...place, path: `data.servers[${index}]` }
      const server = readObject(value, at)
      return {
        nodeId,
        healthy: field(server, 'healthy', readBoolean, at),
        status: field(server, 'status', readString, at),
      }
    }),
  }
}

/** `sys/ha-status`: the nodes the leader hears of. A dead one drops out after some ten seconds. */
export interface HaNode {
  readonly apiAddress: string
  readonly clusterAddress: string
  readonly active: boolean
}

export function parseHaStatus({ body, request }: Answer): readonly HaNode[] {
  const readNode = (value: unknown, at: Place): HaNode => {
    const node = readObject(value, at)
    return {
      apiAddress: field(node, 'api_address', readString, at),
      clusterAddress: field(node, 'cluster_address', readString, at),
      active: field(node, 'active_node', readBoolean, at),
    }
  }
  return field(parseJsonObject(body, request), 'nodes', readList(readNode), { request, path: '' })
}

function dataOf({ body, request }: Answer): readonly [JsonObject, Place] {
  const data = field(parseJsonObject(body, request), 'data', readObject, { request, path: '' })
  return [data, { request, path: 'data' }]
}
