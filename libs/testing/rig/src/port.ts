import { randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { RigError } from './error.ts'

/** First port we hand out. */
const LOWEST_PORT = 10_000

/** How many taken ports we walk past before we give up. */
const MAX_ATTEMPTS = 200

/** Ports this process has handed out: a node that is down for a moment must find its port free again. */
const handedOut = new Set<number>()

/**
 * A TCP port on 127.0.0.1 that nobody uses, and that this process does not hand out again.
 *
 * It lies below the range from which the kernel takes ports for outgoing connections. A port from that range, which
 * listening on port 0 gives, can be taken by some client while its server is being restarted.
 *
 * @throws {@link RigError} `RIG_INVALID` if no free port was found.
 */
export async function freePort(): Promise<number> {
  const highest = lowestOutgoingPort()
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const port = randomInt(LOWEST_PORT, highest)
    if (handedOut.has(port) || !(await canListen(port))) continue
    handedOut.add(port)
    return port
  }
  throw new RigError('RIG_INVALID', `no free port found on 127.0.0.1 between ${LOWEST_PORT} and ${highest}`)
}

/** First port of the kernel's range for outgoing connections (`ip_local_port_range`). */
function lowestOutgoingPort(): number {
  const [first] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').trim().split(/\s+/)
  const lowest = Number(first)
  if (!Number.isInteger(lowest) || lowest < LOWEST_PORT + 1000) {
    throw new RigError('RIG_INVALID', `ports for outgoing connections start at ${String(first)}: too low to stay below`)
  }
  return lowest
}

async function canListen(port: number): Promise<boolean> {
  const server = createServer()
  const { promise, resolve } = Promise.withResolvers<boolean>()
  server.once('error', () => {
    resolve(false)
  })
  server.listen({ port, host: '127.0.0.1' }, () => {
    server.close(() => {
      resolve(true)
    })
  })
  return await promise
}
