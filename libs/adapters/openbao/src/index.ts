export { OpenBaoError, type OpenBaoErrorCode } from './error.ts'
export { type OpenBaoClient, openBaoClient } from './client.ts'
export {
  type AuthenticatedCall,
  type Call,
  DEFAULT_CONNECT_TIMEOUT_MS,
  DEFAULT_MAX_RESPONSE_BYTES,
  DEFAULT_TIMEOUT_MS,
  type OpenBaoClientOptions,
} from './transport.ts'
export { type OpenBaoAddress, parseAddress } from './address.ts'
export { type ClientCertificate, type OpenBaoTrust } from './trust.ts'
export { type Health, type SealStatus } from './health.ts'
export { type InitRequest, type InitResult } from './init.ts'
export {
  type AutopilotServer,
  type AutopilotState,
  type HaNode,
  type Leader,
  type RaftConfiguration,
  type RaftServer,
} from './cluster.ts'
export { type ClusterObservation, type ClusterVerdict, clusterFormed, type NotFormedReason } from './cluster-formed.ts'
export { type KvPath, type KvSecret } from './kv.ts'
