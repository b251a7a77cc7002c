import {
  NULL_SIGNATURE,
  SHA256_BYTES,
  TPM_CC_PolicyAuthValue,
  TPM_CC_PolicyAuthorize,
  TPM_CC_PolicyPCR,
  type TpmReader,
  concat,
  encodePcrSelection,
  encodePublic,
  readAll,
  readNullSignature,
  readPcrSelection,
  readSizedPublic,
  sized,
} from '@sealwright/tpm-wire'

import { TpmError } from './errors.ts'
import { MAX_POLICY_REF_BYTES, type ResolvedPolicy } from './seal-policy.ts'
import { type Tss2Policy } from './tss2-key.ts'

/**
 * Writes a policy as the list of a "TSS2 PRIVATE KEY" file (draft-bottomley-tpm2-keys, clauses 4.1 and 4.2.1):
 * TPM2_PolicyPCR as TPML_PCR_SELECTION ‖ digest, TPM2_PolicyAuthorize as TPM2B_PUBLIC ‖ TPM2B policyRef ‖ TPMT_SIGNATURE,
 * the latter null since signed policies come with the unseal, not with the file.
 */
export function encodePolicyList(policy: ResolvedPolicy): readonly Tss2Policy[] {
  const list = encodeState(policy.state)
  return policy.hasPin ? [...list, { commandCode: TPM_CC_PolicyAuthValue, commandPolicy: new Uint8Array(0) }] : list
}

/**
 * Reads a policy list that {@link encodePolicyList} could have written.
 *
 * @throws {@link TpmError} `TPM_BLOB_MALFORMED` for any other command or order.
 */
export function decodePolicyList(list: readonly Tss2Policy[]): ResolvedPolicy {
  const last = list.at(-1)
  const hasPin = last?.commandCode === TPM_CC_PolicyAuthValue
  if (hasPin && last.commandPolicy.byteLength > 0) throw malformed('its PIN policy has parameters')
  const [first, ...rest] = hasPin ? list.slice(0, -1) : list
  if (rest.length > 0) throw malformed('its policy has more commands than we know to run')
  return { state: first === undefined ? { kind: 'none' } : decodeState(first), hasPin }
}

function encodeState(state: ResolvedPolicy['state']): readonly Tss2Policy[] {
  switch (state.kind) {
    case 'none':
      return []
    case 'pcr':
      return [{ commandCode: TPM_CC_PolicyPCR, commandPolicy: concat(encodePcrSelection(state.pcrs), state.digest) }]
    case 'authorized': {
      const commandPolicy = concat(sized(encodePublic(state.signer)), sized(state.policyRef), NULL_SIGNATURE)
      return [{ commandCode: TPM_CC_PolicyAuthorize, commandPolicy }]
    }
  }
}

function decodeState({ commandCode, commandPolicy }: Tss2Policy): ResolvedPolicy['state'] {
  if (commandCode === TPM_CC_PolicyPCR) {
    return read(commandPolicy, reader => {
      const pcrs = readPcrSelection(reader)
      if (pcrs.length === 0) throw malformed('its PCR policy names no PCR')
      return { kind: 'pcr', pcrs, digest: Uint8Array.from(reader.bytes(SHA256_BYTES)) }
    })
  }
  if (commandCode === TPM_CC_PolicyAuthorize) {
    return read(commandPolicy, reader => {
      const { area } = readSizedPublic(reader)
      if (area.type !== 'ecc' || area.scheme !== 'ecdsaSha256') throw malformed('its policy signer is no ECDSA key')
      const policyRef = Uint8Array.from(reader.sized(MAX_POLICY_REF_BYTES))
      readNullSignature(reader)
      return { kind: 'authorized', signer: area, policyRef }
    })
  }
  throw malformed(`its policy has command 0x${commandCode.toString(16)}, which we do not know`)
}

function read<T>(bytes: Uint8Array, use: (reader: TpmReader) => T): T {
  try {
    return readAll(bytes, use)
  } catch (cause) {
    if (cause instanceof TpmError) throw cause
    throw malformed('its policy is broken', cause)
  }
}

function malformed(why: string, cause?: unknown): TpmError {
  return new TpmError('TPM_BLOB_MALFORMED', `the sealed key cannot be used: ${why}`, { cause })
}
