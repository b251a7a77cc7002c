import { chmod, rm } from 'node:fs/promises'
import { createConnection, createServer, type Socket } from 'node:net'

export type Direction = 'client-to-server' | 'server-to-client'

/** A piece of one stream as it came in, before any hook. */
export interface RecordedBytes {
  /** Counts connections from 0. */
  readonly connection: number
  readonly direction: Direction
  readonly bytes: Uint8Array
}

/**
 * Sees bytes before they go on and answers what goes on instead: the same, other bytes, nothing (`null`), or later (a
 * promise). Order is kept: what comes after waits. A stream has no messages: `bytes` is whatever one read gave.
 */
export type ByteHook = (bytes: Uint8Array, connection: number) => Uint8Array | null | Promise<Uint8Array | null>

export interface SocketProxyOptions {
  /** Unix socket to make, mode 0600. */
  readonly listenPath: string
  /** Unix socket to connect to, once for each client. */
  readonly targetPath: string
  readonly onClientData?: ByteHook
  readonly onServerData?: ByteHook
}

/** A listening proxy between two Unix sockets. */
export interface SocketProxy extends AsyncDisposable {
  /** Everything that came in so far, in order of arrival. */
  readonly recorded: readonly RecordedBytes[]
  /** How many clients are connected now. */
  readonly connectionCount: () => number
  /** Cuts all connections at once; new ones are still taken. */
  readonly cut: () => void
  /** Cuts all connections, stops listening, removes the socket. */
  readonly close: () => Promise<void>
}

/** Starts a proxy that records both directions and can drop, delay or alter bytes. */
export async function proxySocket(options: SocketProxyOptions): Promise<SocketProxy> {
  const recorded: RecordedBytes[] = []
  const open = new Set<Socket>()
  let connections = 0

  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, client => {
    const connection = connections++
    const target = createConnection({ path: options.targetPath, allowHalfOpen: true })
    const pair = [client, target]
    for (const socket of pair) {
      // An error is always followed by `close`, which ends the other side too.
      socket.on('error', () => socket.destroy())
      socket.once('close', () => {
        for (const other of pair) other.destroy()
        open.delete(client)
      })
    }
    open.add(client)
    const relay = (direction: Direction, from: Socket, to: Socket, hook: ByteHook | undefined): void => {
      relayBytes(from, to, async bytes => {
        recorded.push({ connection, direction, bytes: Uint8Array.from(bytes) })
        return hook === undefined ? bytes : await hook(bytes, connection)
      })
    }
    relay('client-to-server', client, target, options.onClientData)
    relay('server-to-client', target, client, options.onServerData)
  })

  const listening = Promise.withResolvers<undefined>()
  server.once('error', listening.reject)
  server.listen({ path: options.listenPath }, () => {
    listening.resolve(undefined)
  })
  await listening.promise
  await chmod(options.listenPath, 0o600)

  const cut = (): void => {
    for (const client of open) client.destroy()
  }
  const close = async (): Promise<void> => {
    const closed = Promise.withResolvers<undefined>()
    server.close(() => {
      closed.resolve(undefined)
    })
    cut()
    await closed.promise
    await rm(options.listenPath, { force: true })
  }
  return { recorded, connectionCount: () => open.size, cut, close, [Symbol.asyncDispose]: close }
}

type Transform = (bytes: Uint8Array) => Promise<Uint8Array | null>

/** One direction: one piece at a time, so order and back-pressure are kept whatever the hook does. */
function relayBytes(from: Socket, to: Socket, transform: Transform): void {
  let last: Promise<void> = Promise.resolve()
  const inOrder = (step: () => Promise<void>): void => {
    last = last.then(step).catch(() => {
      // A hook that throws, or a side that is gone: this connection ends, as it would in life.
      from.destroy()
    })
  }
  from.on('data', (bytes: Buffer) => {
    from.pause()
    inOrder(async () => {
      const answer = await transform(bytes)
      if (answer !== null && !to.destroyed) to.write(answer)
      from.resume()
    })
  })
  from.on('end', () => {
    inOrder(async () => {
      await Promise.resolve()
      to.end()
    })
  })
  from.resume()
}
