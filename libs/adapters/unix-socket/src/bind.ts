import { type Server } from 'node:net'
import { umask } from 'node:process'

/** Connections that may wait to be taken; one more is refused to its client with EAGAIN. Node's own 511 are few for a busy moment. */
const BACKLOG = 2_048

/** Has a server listen on a new socket, which is never wider than `mode`. Throws the bare system error. */
export async function bindPrivately(server: Server, path: string, mode: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    // bind(2) happens inside listen(): the mask is in force for it alone.
    const earlierMask = umask(0o777 & ~mode)
    try {
      server.listen({ path, backlog: BACKLOG }, () => {
        server.off('error', reject)
        resolve()
      })
    } finally {
      umask(earlierMask)
    }
  })
}
