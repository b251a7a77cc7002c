import { RaftSnapshotError } from './errors.ts'

/** What a server of the cluster may do: a staging server is about to become a voter. */
export type RaftSuffrage = 'voter' | 'nonvoter' | 'staging'

/** A server of the cluster, as raft knew it when the snapshot was taken. */
export interface RaftServer {
  /** `node_id` of the server's configuration. */
  readonly id: string
  /** Host and port of its cluster address. */
  readonly address: string
  readonly suffrage: RaftSuffrage
}

/** `meta.json`. */
export interface RaftSnapshotMetadata {
  readonly version: typeof KNOWN_VERSION
  readonly id: string
  /** Index and term of the last log entry in the snapshot. */
  readonly index: number
  readonly term: number
  /** Index of the log entry that made the cluster as `servers` says. */
  readonly configurationIndex: number
  readonly servers: readonly RaftServer[]
  /** Length of `state.bin`. */
  readonly stateBytes: number
}

/** `SnapshotVersion` of the raft library that OpenBao uses; OpenBao makes and takes no other. */
const KNOWN_VERSION = 1

/** `ServerSuffrage` of the raft library. */
const SUFFRAGES: readonly RaftSuffrage[] = ['voter', 'nonvoter', 'staging']

type JsonObject = Readonly<Record<string, unknown>>

/**
 * Reads `meta.json`. Checks what is used, ignores the rest.
 *
 * @throws {@link RaftSnapshotError} `RAFT_SNAPSHOT_META_MALFORMED`.
 */
export function parseMetadata(bytes: Uint8Array): RaftSnapshotMetadata {
  const meta = objectOf(parseJson(bytes), 'meta.json')
  if (meta.Version !== KNOWN_VERSION) {
    throw malformed(`its Version is not ${KNOWN_VERSION}: a newer OpenBao may need a newer Sealwright`)
  }
  const { Servers: servers } = objectOf(meta.Configuration, 'Configuration')
  return {
    version: KNOWN_VERSION,
    id: textOf(meta, 'ID'),
    index: countOf(meta, 'Index'),
    term: countOf(meta, 'Term'),
    configurationIndex: countOf(meta, 'ConfigurationIndex'),
    // An empty list is written as null.
    servers: servers === null ? [] : listOf(servers).map(serverOf),
    stateBytes: countOf(meta, 'Size'),
  }
}

function serverOf(value: unknown): RaftServer {
  const server = objectOf(value, 'a server')
  const suffrage = SUFFRAGES[countOf(server, 'Suffrage')]
  if (suffrage === undefined) throw malformed('the Suffrage of a server is unknown')
  return { id: textOf(server, 'ID'), address: textOf(server, 'Address'), suffrage }
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw malformed('it is not JSON', cause)
  }
}

function objectOf(value: unknown, what: string): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject
  throw malformed(`${what} is not an object`)
}

function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value
  throw malformed('Servers is not a list')
}

function textOf(object: JsonObject, field: string): string {
  const value = object[field]
  if (typeof value === 'string') return value
  throw malformed(`${field} is not a text`)
}

function countOf(object: JsonObject, field: string): number {
  const value = object[field]
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw malformed(`${field} is not a whole number from 0 to 2^53 - 1`)
}

function malformed(why: string, cause?: unknown): RaftSnapshotError {
  return new RaftSnapshotError('RAFT_SNAPSHOT_META_MALFORMED', `meta.json is not what OpenBao writes: ${why}`, {
    cause,
  })
}
