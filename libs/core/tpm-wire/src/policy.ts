import { SHA256_BYTES, TPM_CC_PolicyAuthValue, TPM_CC_PolicyAuthorize, TPM_CC_PolicyPCR } from './constants.ts'
import { sha256 } from './kdf.ts'
import { encodePcrSelection } from './pcr.ts'
import { assertObjectName } from './public-area.ts'
import { u32 } from './writer.ts'

/** Where every policy starts: 32 zero bytes (Part 1, clause 19.7.8). */
export function emptyPolicyDigest(): Uint8Array {
  return new Uint8Array(SHA256_BYTES)
}

/**
 * Extends a policy as TPM2_PolicyPCR does (Part 3, clause 23.7):
 * SHA-256(old ‖ TPM_CC_PolicyPCR ‖ TPML_PCR_SELECTION ‖ PCR digest).
 *
 * @param digest - what `pcrDigest` gives for the same PCRs, 32 bytes.
 */
export function policyPcr(policyDigest: Uint8Array, indices: readonly number[], digest: Uint8Array): Uint8Array {
  return sha256(policyDigest, u32(TPM_CC_PolicyPCR), encodePcrSelection(indices), digest)
}

/** Extends a policy as TPM2_PolicyAuthValue does (Part 3, clause 23.17): SHA-256(old ‖ TPM_CC_PolicyAuthValue). */
export function policyAuthValue(policyDigest: Uint8Array): Uint8Array {
  return sha256(policyDigest, u32(TPM_CC_PolicyAuthValue))
}

/**
 * The policy after TPM2_PolicyAuthorize (Part 3, clause 23.16). It replaces whatever was there before:
 * SHA-256(SHA-256(0… ‖ TPM_CC_PolicyAuthorize ‖ name of the signer) ‖ policyRef).
 */
export function policyAuthorize(signerName: Uint8Array, policyRef: Uint8Array): Uint8Array {
  assertObjectName(signerName)
  return sha256(sha256(emptyPolicyDigest(), u32(TPM_CC_PolicyAuthorize), signerName), policyRef)
}

/** What a signer signs to approve a policy: aHash = SHA-256(approved policy ‖ policyRef) (Part 3, clause 23.16). */
export function approvedPolicyHash(approvedPolicy: Uint8Array, policyRef: Uint8Array): Uint8Array {
  return sha256(approvedPolicy, policyRef)
}
