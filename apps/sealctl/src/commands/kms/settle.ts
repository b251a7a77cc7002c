import { type KmsConfig } from '@sealwright/kms-config'

/**
 * So long kube-apiserver goes on writing by what a version has encrypted, once its plugin does not name that version any more
 * (k8s.io/apiserver v0.36.3, pkg/server/options/encryptionconfig/config.go, `kmsv2PluginWriteDEKSourceMaxTTL`). For as long as a plugin does name
 * it there is no end: each Status with that key id begins the three minutes anew, whatever it says of its health.
 */
const KUBE_WRITE_TTL_MS = 180_000
/** For clocks that differ, and a look at the plugin that comes a little late. */
const MARGIN_MS = 60_000

/**
 * How long after a version has become old enough some API server may still write by the one before, where every plugin reaches its backend. One
 * that does not goes on naming the version before: nothing but a look at each node shows that there is none.
 */
export function settleMsOf({ rotation, probe }: Pick<KmsConfig, 'rotation' | 'probe'>): number {
  return rotation.stableObservations * probe.intervalMs + KUBE_WRITE_TTL_MS + MARGIN_MS
}
