export { KmsServerError, type KmsServerErrorCode } from './errors.ts'
export { DEFAULT_LIMITS, type KmsServerLimits } from './limits.ts'
export {
  type KmsCallReport,
  type KmsListenOptions,
  type KmsServerFailure,
  type KmsServerOptions,
  type KmsV2Server,
  serveKmsV2,
} from './serve.ts'
export { type KmsMethod } from './service.ts'
export { type SocketOwner } from './socket-owner.ts'
