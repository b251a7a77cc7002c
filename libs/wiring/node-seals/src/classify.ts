import { EnvelopeError } from '@sealwright/envelope'
import { KeyringError } from '@sealwright/keyring'
import { ProgramError } from '@sealwright/program'
import { StoreError } from '@sealwright/seal-store'
import { TpmError } from '@sealwright/tpm'
import { type SealFailure } from '@sealwright/unseal'

/**
 * Turns what stopped a seal from opening into a failure that says whether trying again makes sense.
 *
 * @throws `error` itself if it is none of the known kinds: that is a bug, and must not look like an outage.
 */
export function classifySealFailure(error: unknown): SealFailure {
  if (error instanceof TpmError) return { code: error.code, message: error.message, kind: error.kind }
  // A store or a keyring that cannot be used may be put right beside us: looking again harms nothing.
  if (error instanceof StoreError || error instanceof KeyringError || error instanceof EnvelopeError) {
    return { code: error.code, message: error.message, kind: 'permanent' }
  }
  if (error instanceof ProgramError) return { code: error.code, message: error.message, kind: 'permanent' }
  throw error
}
