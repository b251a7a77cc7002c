/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type EtcdErrorCode =
  | 'ETCD_OPTIONS_INVALID' // an address or certificate that cannot be used; nothing was sent
  | 'ETCD_UNREACHABLE' // no connection to any address; nothing was sent
  | 'ETCD_TLS' // the two sides do not trust each other, or one does not speak TLS
  | 'ETCD_TIMEOUT' // our deadline passed
  | 'ETCD_CANCELLED' // the caller's signal fired
  | 'ETCD_CONNECTION_CUT' // no whole answer came
  | 'ETCD_UNAVAILABLE' // it answers, and has no leader, or is too busy
  | 'ETCD_GATEWAY_BROKEN' // its gateway for JSON does not reach the etcd that it belongs to
  | 'ETCD_DENIED' // it wants a user or a certificate that may read these keys
  | 'ETCD_COMPACTED' // the moment that is read was thrown away meanwhile: begin anew
  | 'ETCD_OTHER_CLUSTER' // the addresses are of different clusters
  | 'ETCD_REFUSED' // any other answer that is not a success
  | 'ETCD_RESPONSE_MALFORMED' // not HTTP, not JSON, or not what was asked for
  | 'ETCD_RESPONSE_TOO_LARGE' // one key has more bytes than the cap

/** What goes wrong between us and etcd. Messages hold no value. */
export class EtcdError extends Error {
  override readonly name = 'EtcdError'
  readonly code: EtcdErrorCode

  constructor(code: EtcdErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
