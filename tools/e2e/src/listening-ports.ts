import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { hasErrorCode } from '@sealwright/system-error'

/** State of a listening socket in `/proc/net/tcp`. */
const LISTEN = '0A'

/** TCP ports on which a process listens. */
export function listeningTcpPorts(pid: number): readonly number[] {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap(fd => /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`))?.[1] ?? []),
  )
  return ['tcp', 'tcp6'].flatMap(family =>
    readFileSync(`/proc/${pid}/net/${family}`, 'utf8')
      .trimEnd()
      .split('\n')
      .slice(1)
      .flatMap(line => {
        // proc(5): `slot local_address rem_address state … inode`, addresses as `HEX:PORT`.
        const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/)
        return state === LISTEN && inodes.has(inode) ? [Number.parseInt(local.split(':')[1] ?? '', 16)] : []
      }),
  )
}

/** A descriptor may be closed between the list and the look. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT')) return ''
    throw error
  }
}
