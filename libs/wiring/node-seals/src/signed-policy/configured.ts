import { createPublicKey, type KeyObject } from 'node:crypto'
import { hex } from '@sealwright/bytes'
import { type NodeConfig, type SignedPolicyConfig, type TpmSealConfig } from '@sealwright/node-config'
import { SignedPolicyError } from './error.ts'

/** The configuration of a TPM seal that is bound to a signer. */
export type SignedTpmSealConfig = TpmSealConfig & { readonly signedPolicy: SignedPolicyConfig }

/**
 * The TPM seal of this name, which must be bound to a signer.
 *
 * @throws {@link SignedPolicyError} `POLICIES_NOT_CONFIGURED`.
 */
export function signedSealOf({ seals }: Pick<NodeConfig, 'seals'>, name: string): SignedTpmSealConfig {
  const seal = tpmSealOf({ seals }, name)
  if (seal.signedPolicy !== undefined) return { ...seal, signedPolicy: seal.signedPolicy }
  throw new SignedPolicyError(
    'POLICIES_NOT_CONFIGURED',
    `the seal ${name} is not bound to a signer of PCR policies: give it signedPolicy in the configuration`,
  )
}

/**
 * The TPM seal of this name.
 *
 * @throws {@link SignedPolicyError} `POLICIES_NOT_CONFIGURED`.
 */
export function tpmSealOf({ seals }: Pick<NodeConfig, 'seals'>, name: string): TpmSealConfig {
  const seal = seals.find(each => each.name === name && !each.disabled)
  if (seal?.type === 'tpm') return seal
  const known = seals.filter(each => each.type === 'tpm' && !each.disabled).map(each => each.name)
  throw new SignedPolicyError(
    'POLICIES_NOT_CONFIGURED',
    `the configuration has no TPM seal ${name}; its TPM seals are: ${known.join(', ') || 'none'}`,
  )
}

/** The key that checks the policies of a seal. */
export function signerOf({ signedPolicy }: SignedTpmSealConfig): KeyObject {
  return createPublicKey(signedPolicy.publicKey)
}

/** Whether a cluster is the one that the configuration names. */
export function isConfiguredCluster({ clusterId }: Pick<NodeConfig, 'clusterId'>): (id: Uint8Array) => boolean {
  return id => hex(id) === clusterId
}
