export { UnixSocketError, type UnixSocketErrorCode } from './errors.ts'
export { type ListeningSocket, listenOnUnixSocket, type ListenOptions } from './listen.ts'
export { type SocketOwner } from './owner.ts'
