export { UnixSocketError, type UnixSocketErrorCode } from './errors.ts'
export { listenOnUnixSocket, type ListenOptions } from './listen.ts'
