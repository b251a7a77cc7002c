import { isIP } from 'node:net'
import { OpenBaoError } from './error.ts'

/** Where an OpenBao listens, checked. */
export type OpenBaoAddress =
  | { readonly kind: 'https'; readonly origin: string; readonly hostname: string }
  | { readonly kind: 'http'; readonly origin: string }
  /** `listener "unix"`: plain HTTP over a Unix socket, guarded by the file system. */
  | { readonly kind: 'unix'; readonly socketPath: string }

/** `sun_path` of unix(7) has 108 bytes, the last of which is a zero. */
const MAX_SOCKET_PATH_BYTES = 107

/**
 * Checks an address: `https://host[:port]`, `http://` on a loopback host, or `unix:/absolute/path`.
 *
 * @param options - `unsafelyAllowPlainHttp` lets tokens travel unencrypted to any host.
 * @throws {@link OpenBaoError} `OPENBAO_ADDRESS_INVALID`, without the user name or password that may stand in it.
 */
export function parseAddress(address: string, options: { readonly unsafelyAllowPlainHttp: boolean }): OpenBaoAddress {
  if (address.startsWith('unix:')) return { kind: 'unix', socketPath: socketPath(address.slice('unix:'.length)) }
  if (!URL.canParse(address)) throw invalid('it must be https://host[:port], http://127.0.0.1:port or unix:/path')
  const url = new URL(address)
  if (url.username !== '' || url.password !== '') throw invalid('it must not hold a user name or password')
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw invalid(`"${url.protocol}" is not known`)
  if (url.pathname !== '/' || /[?#]/.test(address)) throw invalid('it must end after the port')
  if (url.port === '0') throw invalid('port 0 is no port')
  // URL has made all spellings of an IPv4 address into one, and keeps brackets around IPv6.
  const hostname = url.hostname.replace(/^\[(.*)\]$/, '$1')
  if (url.protocol === 'https:') return { kind: 'https', origin: url.origin, hostname }
  if (!options.unsafelyAllowPlainHttp && !isLoopback(hostname)) {
    throw invalid(`plain http to ${hostname} would show tokens to the network; only loopback hosts are allowed`)
  }
  return { kind: 'http', origin: url.origin }
}

function socketPath(path: string): string {
  if (!path.startsWith('/') || path.includes('\0')) throw invalid('a Unix socket is given as unix:/absolute/path')
  const bytes = Buffer.byteLength(path)
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    throw invalid(`its socket path has ${bytes} bytes, at most ${MAX_SOCKET_PATH_BYTES} work`)
  }
  return path
}

/** RFC 1122 §3.2.1.3 (127/8), RFC 4291 §2.5.3 (::1), RFC 6761 §6.3 (`localhost`). */
function isLoopback(hostname: string): boolean {
  if (isIP(hostname) === 4) return hostname.startsWith('127.')
  return hostname === '::1' || hostname === 'localhost'
}

function invalid(reason: string): OpenBaoError {
  return new OpenBaoError('OPENBAO_ADDRESS_INVALID', `OpenBao address: ${reason}`)
}
