import { TPM_CC_FlushContext, u32 } from '@sealwright/tpm-wire'

import { type TpmConnection } from '../connection.ts'
import { type Deadline } from '../deadline.ts'

/**
 * TPM2_FlushContext (Part 3, clause 28.4): frees an object or session. The handle is a parameter here, not a handle.
 *
 * @param deadline - a limit of its own when tidying up after the operation's time is over.
 */
export async function flushContext(tpm: TpmConnection, handle: number, deadline?: Deadline): Promise<void> {
  const command = { name: 'TPM2_FlushContext', commandCode: TPM_CC_FlushContext, handles: [], parameters: u32(handle) }
  await tpm.run(command, undefined, deadline)
  tpm.release(handle)
}
