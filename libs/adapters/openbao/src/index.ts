export { OpenBaoError, type OpenBaoErrorCode } from './error.ts'
export { type OpenBaoClient, openBaoClient } from './client.ts'
export {
  type AuthenticatedCall,
  type Call,
  DEFAULT_CONNECT_TIMEOUT_MS,
  DEFAULT_MAX_RESPONSE_BYTES,
  DEFAULT_TIMEOUT_MS,
  type OpenBaoClientOptions,
  type Send,
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
export { type AuthMethod, type LoginMethod, type ReadSecret, type TokenMethod } from './auth/auth-method.ts'
export { type Clock, steadyClock } from './auth/clock.ts'
export { openTokenSource, type TokenSource, type TokenSourceOptions, type UseOptions } from './auth/token-source.ts'
export { openReopeningTransport, type ReadClientCertificate, type ReopeningOptions } from './reopening-transport.ts'
export { parseCiphertext as parseTransitCiphertext, type TransitCiphertext } from './transit/ciphertext.ts'
export { TransitError, type TransitErrorCode, type TransitErrorKind } from './transit/error.ts'
export {
  readTransitIdentity,
  type TransitIdentity,
  type TransitKeyLocation,
  transitMemberId,
} from './transit/identity.ts'
export { type TransitKey, type TransitKeyVersions } from './transit/messages.ts'
export { transitMemberOf, transitSealMember, type TransitSealMemberOptions } from './transit/seal-member.ts'
export { openTransit, type TransitAccess, type TransitCall, type TransitOptions } from './transit/transit-access.ts'
export {
  type AddressHealth,
  DEFAULT_BATCH_ITEMS,
  DEFAULT_MAX_CALLS,
  DEFAULT_POOL_TIMEOUT_MS,
  openTransitPool,
  type TransitPool,
  type TransitPoolOptions,
} from './transit-pool/transit-pool.ts'
