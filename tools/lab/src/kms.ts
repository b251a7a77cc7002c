import { keepKmsAlive } from './kms/live.ts'
import { type KmsFigures, tellKmsStory } from './kms/story.ts'
import { createKmsWorld, type KmsWorld } from './kms/world.ts'
import { type Story } from './run-story.ts'
import { renderKmsProof } from './table.ts'

/**
 * How the KMS plugin encrypts the Secrets of a real control plane.
 *
 * @param options.stays - whether all of it is kept up after the proof.
 */
export function kmsStory({ stays }: { readonly stays: boolean }): Story<KmsWorld, KmsFigures> {
  return {
    title: path =>
      `Kubernetes KMS: OpenBao, etcd, and two control-plane nodes with kube-apiserver and our plugin, all on loopback (${path}); about a minute`,
    createWorld: createKmsWorld,
    tell: tellKmsStory,
    renderProof: renderKmsProof,
    stay: stays ? keepKmsAlive : undefined,
  }
}
