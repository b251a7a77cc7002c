import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort, RigError, startProcess, type StartedProcess } from '@sealwright/testing-rig'
import { isUnreachable, sendHttp } from './http.ts'
import { type CommandOptions, kubelabPath, runKubelab } from './kubelab.ts'
import { type Service, serviceControl } from './service.ts'

/** A key as etcd holds it: what the API server wrote, not what it shows. */
export interface EtcdEntry {
  readonly key: string
  readonly value: Uint8Array
  /** Revision of etcd at which the key was last written. */
  readonly modRevision: number
}

/** A real etcd, the database of Kubernetes, with one member. */
export interface Etcd extends Service {
  /** `http://127.0.0.1:PORT`, without TLS. */
  readonly endpoint: string
  /** Starts it again on the data it has. It must have ended. */
  readonly start: () => Promise<void>
  /** {@link Service.stop}, then {@link Etcd.start}. */
  readonly restart: () => Promise<void>
  /** The raw bytes at `key`; null if there is no such key. */
  readonly get: (key: string) => Promise<Uint8Array | null>
  /** All keys that begin with `prefix`, in their order, as they were at one revision. */
  readonly list: (prefix: string) => Promise<readonly EtcdEntry[]>
  /** Writes behind the API server's back, to see what it makes of tampering. */
  readonly put: (key: string, value: Uint8Array) => Promise<void>
  /** The real `etcdctl` against this etcd; its standard output. Rejects, with its stderr, if it fails. */
  readonly etcdctl: (args: readonly string[], options?: CommandOptions) => Promise<Buffer>
}

const START_TIMEOUT_MS = 60_000
const REQUEST_TIMEOUT_MS = 20_000
/** Answers stay below etcd's limit of 2 MiB a message with Secrets of the usual size. */
const KEYS_PER_PAGE = 200

/**
 * Starts etcd and waits until it serves.
 *
 * @param options.directory - for its data and its log. Made (0700) when missing.
 * @throws {@link RigError} `RIG_PROCESS_ENDED` with the end of its log, `RIG_TIMEOUT`, `RIG_CANCELLED`, `RIG_TOOL_MISSING`.
 */
export async function startEtcd(options: {
  readonly directory: string
  /** For messages and the log's name. */
  readonly name?: string
  readonly signal?: AbortSignal
}): Promise<Etcd> {
  const { directory, name = 'etcd', signal } = options
  const endpoint = `http://127.0.0.1:${await freePort()}`
  const peer = `http://127.0.0.1:${await freePort()}`
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const { service, start } = serviceControl({
    name,
    logPath: join(directory, `${name}.log`),
    launch: async () =>
      await startProcess({
        name,
        command: kubelabPath(),
        args: ['etcd', ...etcdArguments(join(directory, `${name}-data`), endpoint, peer)],
        logDirectory: directory,
      }),
  })
  const startAndWait = async (): Promise<void> => {
    await start(async process => {
      await waitUntilHealthy(process, endpoint, signal)
    })
  }
  const ask = async (call: string, body: unknown): Promise<RangeAnswer> => await callEtcd(endpoint, call, body)
  const etcd: Etcd = {
    ...service,
    endpoint,
    start: startAndWait,
    restart: async () => {
      await service.stop()
      await startAndWait()
    },
    get: async key => {
      const { kvs = [] } = await ask('kv/range', { key: toBase64(key) })
      return kvs[0] === undefined ? null : toEntry(kvs[0]).value
    },
    list: async prefix => await listAll(ask, prefix),
    put: async (key, value) => {
      await ask('kv/put', { key: toBase64(key), value: toBase64(value) })
    },
    etcdctl: async (args, command = {}) =>
      await runKubelab('etcdctl', args, { ...command, environment: { ETCDCTL_ENDPOINTS: endpoint } }),
  }
  await startAndWait()
  return etcd
}

function etcdArguments(dataDirectory: string, endpoint: string, peer: string): readonly string[] {
  return [
    '--name=etcd',
    `--data-dir=${dataDirectory}`,
    `--listen-client-urls=${endpoint}`,
    `--advertise-client-urls=${endpoint}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=etcd=${peer}`,
    // What a power cut of the whole machine would lose is of no interest here.
    '--unsafe-no-fsync',
  ]
}

async function waitUntilHealthy(
  process: StartedProcess,
  endpoint: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const isHealthy = async (limit: AbortSignal): Promise<boolean> => {
    try {
      const request = { url: new URL('/health', endpoint), timeoutMs: REQUEST_TIMEOUT_MS, signal: limit }
      return (await sendHttp(request)).status === 200
    } catch (error) {
      if (isUnreachable(error)) return false
      throw error
    }
  }
  await process.waitFor(isHealthy, {
    what: `${process.name} (${endpoint}) to be healthy`,
    timeoutMs: START_TIMEOUT_MS,
    ...(signal === undefined ? {} : { signal }),
  })
}

/** The answer of etcd's JSON gateway to `kv/range`: bytes are Base64, 64-bit numbers are strings. */
interface RangeAnswer {
  readonly header?: { readonly revision: string }
  readonly kvs?: readonly RangeEntry[]
  readonly more?: boolean
}
type RangeEntry = { readonly key: string; readonly value?: string; readonly mod_revision: string }

async function callEtcd(endpoint: string, call: string, body: unknown): Promise<RangeAnswer> {
  const url = new URL(`/v3/${call}`, endpoint)
  const { status, text } = await sendHttp({ method: 'POST', url, body, timeoutMs: REQUEST_TIMEOUT_MS })
  if (status !== 200) throw new RigError('RIG_INVALID', `etcd answers ${status} to ${call}: ${text}`)
  return JSON.parse(text) as RangeAnswer
}

async function listAll(
  ask: (call: string, body: unknown) => Promise<RangeAnswer>,
  prefix: string,
): Promise<readonly EtcdEntry[]> {
  const entries: EtcdEntry[] = []
  let from = Buffer.from(prefix)
  let revision: string | undefined
  for (;;) {
    const answer = await ask('kv/range', {
      key: toBase64(from),
      range_end: toBase64(endOfPrefix(prefix)),
      limit: KEYS_PER_PAGE,
      ...(revision === undefined ? {} : { revision }),
    })
    entries.push(...(answer.kvs ?? []).map(toEntry))
    const last = answer.kvs?.at(-1)
    if (answer.more !== true || last === undefined) return entries
    revision ??= answer.header?.revision
    // The next key after `last` in the order of bytes.
    from = Buffer.concat([Buffer.from(last.key, 'base64'), Buffer.of(0)])
  }
}

/** The first key after all that begin with `prefix`. */
function endOfPrefix(prefix: string): Uint8Array {
  const end = Buffer.from(prefix)
  // Text in UTF-8 has no byte 255, so the last one can always grow.
  const last = end.at(-1)
  if (last === undefined) throw new RigError('RIG_INVALID', 'a prefix must not be empty')
  end[end.length - 1] = last + 1
  return end
}

function toEntry({ key, value = '', mod_revision: modRevision }: RangeEntry): EtcdEntry {
  return {
    key: Buffer.from(key, 'base64').toString(),
    value: Buffer.from(value, 'base64'),
    modRevision: Number(modRevision),
  }
}

function toBase64(value: string | Uint8Array): string {
  return Buffer.from(value).toString('base64')
}
