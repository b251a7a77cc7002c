import { type Clock } from '../auth/clock.ts'
import { leftMs } from '../deadline.ts'
import { OpenBaoError } from '../error.ts'
import { openReopeningTransport, type ReopeningOptions } from '../reopening-transport.ts'
import { type Answer, DEFAULT_TIMEOUT_MS, type Request, type Send } from '../transport.ts'
import { isOfOneNode, joinFailures, type NodeFailure } from './node-failures.ts'
import { type WatchedNode, watchNode } from './watched-node.ts'

/** How long nothing may be heard of all nodes together, in milliseconds, while something is waited for. */
export const DEFAULT_PATIENCE_MS = 800

/** The nodes of one cluster. What holds for one of them holds for all, but for its address. */
export type NodesOptions = Omit<ReopeningOptions, 'address' | 'timeoutMs'> & {
  /** At least one; the first that answers is used. */
  readonly addresses: readonly string[]
  readonly clock: Clock
  /** Default: {@link DEFAULT_PATIENCE_MS}. Each address has its part of it. */
  readonly patienceMs?: number
  /** Hears of each change of what {@link Nodes.health} says. */
  readonly onChange?: (health: NodeHealth) => void
}

/** What is known of one address, without asking. `silent`: it does not answer, and is not waited for. */
export interface NodeHealth {
  readonly address: string
  readonly state: 'untried' | 'answering' | 'failing' | 'silent'
  /** Why, if it is failing or silent. */
  readonly failure: OpenBaoError | undefined
  /** Of the last change of the state, by the clock that was given. */
  readonly sinceMs: number
}

/** Any node of a cluster, as if it were one. */
export interface Nodes {
  /**
   * Asks the node that answered last, and the others in turn if it cannot. For requests that may be carried out twice. A node that is silent
   * is passed over; if all are, `OPENBAO_TIMEOUT` comes at once. No redirect is followed: whoever it points to may be dead.
   */
  readonly send: Send
  readonly health: () => readonly NodeHealth[]
  readonly close: () => Promise<void>
}

interface Place {
  readonly node: WatchedNode
  health: NodeHealth
}

/**
 * Opens the way to the nodes of one cluster. Nothing is sent before the first call.
 *
 * @throws {@link OpenBaoError} `OPENBAO_ADDRESS_INVALID`.
 */
export function openNodes(options: NodesOptions): Nodes {
  const { addresses, clock, onChange = () => undefined, ...common } = options
  if (addresses.length === 0 || new Set(addresses).size !== addresses.length) {
    throw new OpenBaoError('OPENBAO_ADDRESS_INVALID', 'there must be at least one address, and none of them twice')
  }
  const patienceMs = (options.patienceMs ?? DEFAULT_PATIENCE_MS) / addresses.length

  const tell = (place: Place, state: NodeHealth['state'], failure?: OpenBaoError): void => {
    const { health } = place
    if (health.state === state && health.failure?.code === failure?.code) return
    const sinceMs = health.state === state ? health.sinceMs : clock.nowMs()
    place.health = { address: health.address, state, failure, sinceMs }
    onChange(place.health)
  }

  const open = (address: string): Place => {
    const node = watchNode({
      address,
      transport: openReopeningTransport({ ...common, address }),
      knocker: openReopeningTransport({ ...common, address }),
      clock,
      patienceMs,
      onSilence: isSilent => {
        if (isSilent) tell(place, 'silent', silence(address))
        else tell(place, 'untried')
      },
    })
    const place: Place = { node, health: { address, state: 'untried', failure: undefined, sinceMs: clock.nowMs() } }
    return place
  }
  const places = addresses.map(open)
  let preferred = places[0]

  /** The one that answered last, then the others as they were given. */
  const inOrder = (): readonly Place[] => [
    ...places.filter(place => place === preferred),
    ...places.filter(place => place !== preferred),
  ]

  const ask = async (
    place: Place,
    request: Request,
    limits: { deadlineMs: number; isLast: boolean },
  ): Promise<Answer> => {
    const { deadlineMs, isLast } = limits
    const once = async (): Promise<Answer> => {
      const answer = await place.node.send(request, { timeoutMs: leftMs(deadlineMs, clock.nowMs()), isLast })
      preferred = place
      tell(place, 'answering')
      return answer
    }
    try {
      return await once()
    } catch (error) {
      // A connection that was kept open may have died with its server, which may be back.
      if (!(error instanceof OpenBaoError) || error.code !== 'OPENBAO_CONNECTION_CUT') throw error
      return await once()
    }
  }

  const send: Send = async request => {
    const deadlineMs = clock.nowMs() + (request.call.timeoutMs ?? DEFAULT_TIMEOUT_MS)
    const failures: NodeFailure[] = []
    const order = inOrder()
    const isSilent = ({ node }: Place): boolean => node.silentSinceMs() !== undefined
    for (const [index, place] of order.entries()) {
      const { address } = place.node
      if (isSilent(place)) {
        failures.push({ address, error: silence(address, request) })
        continue
      }
      try {
        return await ask(place, request, { deadlineMs, isLast: order.slice(index + 1).every(isSilent) })
      } catch (error) {
        if (!isOfOneNode(error)) {
          // It did answer, though not as was hoped for.
          if (error instanceof OpenBaoError && error.status !== undefined) tell(place, 'answering')
          throw error
        }
        if (!isSilent(place)) tell(place, 'failing', error)
        failures.push({ address, error })
        if (clock.nowMs() >= deadlineMs) break
      }
    }
    throw joinFailures(failures)
  }

  return {
    send,
    health: () => places.map(({ health }) => health),
    close: async () => {
      await Promise.all(
        places.map(async ({ node }) => {
          await node.close()
        }),
      )
    },
  }
}

function silence(address: string, request?: Request): OpenBaoError {
  const what = request === undefined ? address : `${request.method} ${request.path}`
  return new OpenBaoError(
    'OPENBAO_TIMEOUT',
    `${what}: nothing is heard, so it is not waited for until it answers a knock`,
  )
}
