import { type Caller } from './operations.ts'

/**
 * Who calls, as far as Node can tell: it cannot.
 *
 * The kernel knows the peer of a Unix socket (`SO_PEERCRED`), and Node has no call for it. `/proc/net/unix` lists sockets without their
 * peers, `/proc/PID/fdinfo` neither; only a netlink socket would tell, which Node has no call for either. Guessing by inode numbers
 * would put a wrong name into the audit log. What is certain is what the mode of the socket, 0600, says: it was the agent's own user,
 * or root.
 */
export function callerOf(): Caller {
  return { processId: undefined, userId: undefined }
}
