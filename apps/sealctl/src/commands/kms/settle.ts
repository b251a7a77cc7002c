import { type KmsConfig } from '@sealwright/kms-config'

/** So long kube-apiserver goes on writing by what it got last (k8s.io/apiserver, `kmsv2PluginWriteDEKSourceMaxTTL`). */
const KUBE_WRITE_TTL_MS = 180_000
/** For clocks that differ, and a look at the plugin that comes a little late. */
const MARGIN_MS = 60_000

/** How long after a version has become old enough some API server may still write by the one before. */
export function settleMsOf({ rotation, probe }: Pick<KmsConfig, 'rotation' | 'probe'>): number {
  return rotation.stableObservations * probe.intervalMs + KUBE_WRITE_TTL_MS + MARGIN_MS
}
