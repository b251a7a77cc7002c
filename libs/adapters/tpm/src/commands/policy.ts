import {
  type EccPublic,
  NAME_BYTES,
  SHA256_BYTES,
  TPM_CC_LoadExternal,
  TPM_CC_PolicyAuthValue,
  TPM_CC_PolicyAuthorize,
  TPM_CC_PolicyGetDigest,
  TPM_CC_PolicyPCR,
  TPM_CC_VerifySignature,
  TPM_RH_NULL,
  TPM_RH_OWNER,
  TPM_ST_VERIFIED,
  concat,
  encodeEcdsaSignature,
  encodePcrSelection,
  encodePublic,
  objectName,
  sized,
  u16,
  u32,
} from '@sealwright/tpm-wire'

import { type NamedHandle, type TpmConnection } from '../connection.ts'
import { TpmError } from '../errors.ts'
import { onlyHandle, readResult } from '../result.ts'
import { readTicket } from './create-primary.ts'

/** TPM2_PolicyPCR with the values the PCRs have now (Part 3, clause 23.7). */
export async function runPolicyPcr(tpm: TpmConnection, session: number, indices: readonly number[]): Promise<void> {
  const currentValues = sized()
  await runPolicy(tpm, 'TPM2_PolicyPCR', TPM_CC_PolicyPCR, session, concat(currentValues, encodePcrSelection(indices)))
}

/** TPM2_PolicyAuthValue: the object's auth value must go into the HMAC (Part 3, clause 23.17). */
export async function runPolicyAuthValue(tpm: TpmConnection, session: number): Promise<void> {
  await runPolicy(tpm, 'TPM2_PolicyAuthValue', TPM_CC_PolicyAuthValue, session)
}

/**
 * TPM2_PolicyAuthorize (Part 3, clause 23.16): replaces a policy that the signer has approved by the signer itself.
 *
 * @param ticket - from {@link verifySignature}; in a trial session anything of the right form.
 */
export async function runPolicyAuthorize(
  tpm: TpmConnection,
  session: number,
  input: {
    readonly approvedPolicy: Uint8Array
    readonly policyRef: Uint8Array
    readonly signerName: Uint8Array
    readonly ticket: Uint8Array
  },
): Promise<void> {
  const parameters = concat(sized(input.approvedPolicy), sized(input.policyRef), sized(input.signerName), input.ticket)
  await runPolicy(tpm, 'TPM2_PolicyAuthorize', TPM_CC_PolicyAuthorize, session, parameters)
}

/** TPM2_PolicyGetDigest (Part 3, clause 23.19): the digest of a session so far, 32 bytes. */
export async function policyGetDigest(tpm: TpmConnection, session: number): Promise<Uint8Array> {
  const name = 'TPM2_PolicyGetDigest'
  const parameters = await runPolicy(tpm, name, TPM_CC_PolicyGetDigest, session)
  return readResult(name, parameters, reader => Uint8Array.from(reader.sizedExactly(SHA256_BYTES)))
}

/**
 * TPM2_LoadExternal of a public key (Part 3, clause 12.3), in the owner hierarchy so that tickets can be made with it.
 * It is flushed when the operation ends.
 */
export async function loadPublicKey(tpm: TpmConnection, publicArea: EccPublic): Promise<NamedHandle> {
  const name = 'TPM2_LoadExternal'
  const noPrivatePart = sized()
  const bytes = encodePublic(publicArea)
  const result = await tpm.run({
    name,
    commandCode: TPM_CC_LoadExternal,
    handles: [],
    parameters: concat(noPrivatePart, sized(bytes), u32(TPM_RH_OWNER)),
    responseHandleCount: 1,
  })
  const handle = onlyHandle(name, result.handles)
  tpm.hold(handle)
  readResult(name, result.parameters, reader => reader.sizedExactly(NAME_BYTES))
  return { handle, name: objectName(bytes) }
}

/**
 * TPM2_VerifySignature of an ECDSA P-256 signature (Part 3, clause 20.1).
 *
 * @param signature - r ‖ s, 64 bytes.
 * @returns The TPMT_TK_VERIFIED which {@link runPolicyAuthorize} wants.
 */
export async function verifySignature(
  tpm: TpmConnection,
  key: NamedHandle,
  digest: Uint8Array,
  signature: Uint8Array,
): Promise<Uint8Array> {
  const name = 'TPM2_VerifySignature'
  const result = await tpm.run({
    name,
    commandCode: TPM_CC_VerifySignature,
    handles: [key],
    parameters: concat(sized(digest), encodeEcdsaSignature(signature)),
  })
  return readResult(name, result.parameters, readTicket)
}

/** A TPMT_TK_VERIFIED without contents (Part 2, clause 10.7.4): enough for a trial session, which checks no ticket. */
export const NULL_TICKET = concat(u16(TPM_ST_VERIFIED), u32(TPM_RH_NULL), sized())

/** Runs a command on a policy session. The session is only a handle in it, so nothing authorises the command. */
async function runPolicy(
  tpm: TpmConnection,
  name: string,
  commandCode: number,
  session: number,
  parameters: Uint8Array = new Uint8Array(0),
): Promise<Uint8Array> {
  const handles = [{ handle: session, name: u32(session) }]
  const result = await tpm.run({ name, commandCode, handles, parameters })
  if (commandCode !== TPM_CC_PolicyGetDigest && result.parameters.byteLength > 0) {
    throw new TpmError('TPM_PROTOCOL', `the answer to ${name} is not empty`)
  }
  return result.parameters
}
