import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A way to a server on this machine that takes its time. */
export interface SlowProxy extends AsyncDisposable {
  readonly port: number
}

/** Passes all bytes on, those of the server `delayMs` later than they came. */
export async function slowProxy(targetPort: number, delayMs: number): Promise<SlowProxy> {
  const sockets = new Set<Socket>()
  const server = createServer(client => {
    const target = connect({ port: targetPort, host: '127.0.0.1' })
    const pair = [client, target]
    for (const socket of pair) {
      sockets.add(socket)
      socket.on('error', () => socket.destroy())
      socket.once('close', () => {
        sockets.delete(socket)
        for (const other of pair) other.destroy()
      })
    }
    client.pipe(target)
    target.on('data', bytes => {
      // Timers of one length go off in the order in which they were set.
      setTimeout(() => {
        if (!client.destroyed) client.write(bytes)
      }, delayMs)
    })
  })
  const listening = Promise.withResolvers<undefined>()
  server.listen({ port: 0, host: '127.0.0.1' }, () => {
    listening.resolve(undefined)
  })
  await listening.promise
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      const closed = Promise.withResolvers<undefined>()
      server.close(() => {
        closed.resolve(undefined)
      })
      for (const socket of sockets) socket.destroy()
      await closed.promise
    },
  }
}
