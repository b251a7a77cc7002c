import { type KeyringRecord, type SealMember } from '@sealwright/keyring'
import { TpmError, type TpmErrorCode } from '@sealwright/tpm'

/** Why a record of the right TPM does not open although nobody has to wait or to mend a PIN: made anew, it would. */
const MENDED_BY_RESEALING: ReadonlySet<string> = new Set<TpmErrorCode>(['TPM_PCR_MISMATCH', 'TPM_BLOB_CORRUPT'])

/**
 * Asks a member for the KEK of a record, to see whether the record has to be made anew.
 *
 * @throws what the member throws, unless that is what resealing mends: a TPM that is late or a wrong PIN is no reason for it.
 */
export async function needsResealing(
  member: SealMember,
  { sealedKek, method }: KeyringRecord,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const kek = await member.unsealKek(sealedKek, { signal, method })
    kek.wipe()
    return false
  } catch (error) {
    if (error instanceof TpmError && MENDED_BY_RESEALING.has(error.code)) return true
    throw error
  }
}
