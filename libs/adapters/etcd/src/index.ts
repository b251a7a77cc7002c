export { EtcdError, type EtcdErrorCode } from './errors.ts'
export { type EtcdPage, type EtcdReader, openEtcd } from './etcd-reader.ts'
export { type EtcdEntry } from './messages.ts'
export {
  DEFAULT_MAX_RESPONSE_BYTES,
  DEFAULT_TIMEOUT_MS,
  type EtcdClientCertificate,
  type EtcdOptions,
} from './options.ts'
