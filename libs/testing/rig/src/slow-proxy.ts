import { once } from 'node:events'
import { createConnection, createServer, type Socket } from 'node:net'
import { freePort } from './port.ts'

/** A way to a server on loopback that takes its time. */
export interface SlowProxy extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`. */
  readonly address: string
  /** How long each piece of an answer is held back from now on; answers that are on their way keep their time. */
  readonly setDelay: (delayMs: number) => void
  /** How many clients are connected now. */
  readonly connectionCount: () => number
  /** Of answers that wait. */
  readonly bytesHeldBack: () => number
}

/**
 * Starts a proxy to a server. Requests pass at once. What comes back waits: each piece for itself, so that an answer takes the delay
 * once, however many are under way.
 */
export async function slowProxy(targetAddress: string, delayMs: number): Promise<SlowProxy> {
  const target = new URL(targetAddress)
  const port = await freePort()
  const clients = new Set<Socket>()
  let currentDelayMs = delayMs
  let bytesHeldBack = 0

  const server = createServer(client => {
    const upstream = createConnection({ host: target.hostname, port: Number(target.port) })
    clients.add(client)
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true)
      // An error is always followed by `close`, which ends the other side, too.
      socket.on('error', () => socket.destroy())
      socket.once('close', () => {
        client.destroy()
        upstream.destroy()
        clients.delete(client)
      })
    }
    client.pipe(upstream)
    let lastDueMs = 0
    const waiting = new Map<NodeJS.Timeout, number>()
    client.once('close', () => {
      for (const [timer, byteLength] of waiting) {
        clearTimeout(timer)
        bytesHeldBack -= byteLength
      }
      waiting.clear()
    })
    upstream.on('data', (piece: Buffer) => {
      // Never before an earlier one, though the delay became shorter meanwhile.
      lastDueMs = Math.max(performance.now() + currentDelayMs, lastDueMs)
      bytesHeldBack += piece.byteLength
      const timer = setTimeout(
        () => {
          waiting.delete(timer)
          bytesHeldBack -= piece.byteLength
          client.write(piece)
        },
        Math.max(0, lastDueMs - performance.now()),
      )
      waiting.set(timer, piece.byteLength)
    })
  })
  server.listen({ port, host: '127.0.0.1' })
  await once(server, 'listening')
  return {
    address: `${target.protocol}//127.0.0.1:${port}`,
    setDelay: nextMs => {
      currentDelayMs = nextMs
    },
    connectionCount: () => clients.size,
    bytesHeldBack: () => bytesHeldBack,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, 'close')
      server.close()
      for (const client of clients) client.destroy()
      await closed
    },
  }
}
