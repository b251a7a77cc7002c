import { randomBytes, randomUUID } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { readdirSync } from 'node:fs'
import { type SealPluginEvent } from '../events.ts'
import { type SealService } from '../seal-service.ts'
import { type SealPluginOptions, type SealPluginServer, serveSealPlugin } from '../serve.ts'
import { memorySeal } from './memory-seal.ts'
import { type SessionAnswer, type TestHost, connectHost, requestSession } from './test-host.ts'

const EVENT_TIMEOUT_MS = 20_000

type EventKind = SealPluginEvent['kind']
type EventOf<K extends EventKind> = SealPluginEvent & { readonly kind: K }

/** A folder that agents serve and hosts use, and what happened in it. */
export interface ServedFolder {
  readonly directory: string
  readonly events: readonly SealPluginEvent[]
  /** Starts an agent with a seal in memory. */
  serve(overrides?: Partial<SealService>, options?: Partial<SealPluginOptions>): Promise<SealPluginServer>
  /** A host with a session of its own. */
  openHost(): Promise<TestHost & { readonly sessionId: string }>
  /** A host in a session that is there already. */
  connect(session: Pick<SessionAnswer, 'socketPath' | 'certificatePem' | 'client'>): TestHost
  /** Waits for the first event of `kind` that `matches`. */
  eventOf<K extends EventKind>(kind: K, matches?: (event: EventOf<K>) => boolean): Promise<EventOf<K>>
  /** Folder entries of sessions: sockets, and reply pipes with the spare ones. */
  leftovers(): readonly string[]
  /** Ends all hosts and agents, and removes the folder around. */
  close(): Promise<void>
}

/** @param around - a temporary folder; the first agent makes its own inside. */
export function servedFolder(around: AsyncDisposable & { join(name: string): string }): ServedFolder {
  const directory = around.join('seal')
  const events: SealPluginEvent[] = []
  const news = new EventEmitter<{ event: [] }>()
  const servers: SealPluginServer[] = []
  const hosts: TestHost[] = []

  const connect: ServedFolder['connect'] = session => {
    const host = connectHost(session)
    hosts.push(host)
    return host
  }

  return {
    directory,
    events,
    connect,
    async serve(overrides = {}, options = {}) {
      const server = await serveSealPlugin({
        directory,
        service: memorySeal(randomBytes(32), overrides),
        onEvent(event) {
          events.push(event)
          news.emit('event')
        },
        now: Date.now,
        randomUuid: randomUUID,
        signal: new AbortController().signal,
        ...options,
      })
      servers.push(server)
      return server
    },
    async openHost() {
      const session = await requestSession(directory)
      return { sessionId: session.sessionId, ...connect(session) }
    },
    async eventOf<K extends EventKind>(kind: K, matches: (event: EventOf<K>) => boolean = () => true) {
      const isIt = (event: SealPluginEvent): event is EventOf<K> => event.kind === kind
      const signal = AbortSignal.timeout(EVENT_TIMEOUT_MS)
      for (;;) {
        const found = events.filter(isIt).find(matches)
        if (found !== undefined) return found
        await once(news, 'event', { signal }).catch((cause: unknown) => {
          throw new Error(`no event ${kind} in ${EVENT_TIMEOUT_MS} ms`, { cause })
        })
      }
    },
    leftovers: () => [...readdirSync(`${directory}/s`), ...readdirSync(`${directory}/out`)],
    async close() {
      for (const host of hosts) host.close()
      await Promise.all(servers.map(server => server.close()))
      await around[Symbol.asyncDispose]()
    },
  }
}
