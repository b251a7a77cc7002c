import { constants, fstatSync, openSync } from 'node:fs'
import { Socket } from 'node:net'

/** A file descriptor that a write never waits for: it fails with `EAGAIN` instead. */
export interface UnblockingFd {
  readonly fd: number
  /** Keeps the descriptor as it is while somebody holds it. */
  readonly keeper: Socket | null
}

/**
 * Makes writes to a pipe, a socket or a terminal fail where they would wait.
 *
 * A file is left as it is: the system does not wait for its reader, since it has none.
 */
export function unblocking(fd: number): UnblockingFd {
  const status = fstatSync(fd)
  if (status.isFile()) return { fd, keeper: null }
  // Opened anew, as a pipe or a terminal can be: then it does not change for the other programs that write there.
  if (!status.isSocket()) {
    const again = reopened(fd)
    if (again !== null) return { fd: again, keeper: null }
  }
  try {
    // Node makes each descriptor non-blocking that it makes a stream of; the stream itself is never used.
    return { fd, keeper: new Socket({ fd, readable: false, writable: true }).unref() }
  } catch {
    return { fd, keeper: null } // a device, which nobody has to read
  }
}

const { O_WRONLY, O_APPEND, O_NONBLOCK, O_NOCTTY } = constants

function reopened(fd: number): number | null {
  try {
    return openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY)
  } catch {
    return null // no /proc, or a pipe that belongs to another user
  }
}
