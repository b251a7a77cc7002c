import { type TpmReader, readAll } from '@sealwright/tpm-wire'

import { TpmError } from './errors.ts'

/**
 * Reads the parameters of a successful response to their end.
 *
 * @throws {@link TpmError} `TPM_PROTOCOL` if they are not what the command answers with.
 */
export function readResult<T>(commandName: string, parameters: Uint8Array, read: (reader: TpmReader) => T): T {
  try {
    return readAll(parameters, read)
  } catch (cause) {
    throw new TpmError('TPM_PROTOCOL', `the answer to ${commandName} has other contents than it must have`, { cause })
  }
}

/** The one handle of a response. @throws {@link TpmError} `TPM_PROTOCOL` if it is missing. */
export function onlyHandle(commandName: string, handles: readonly number[]): number {
  const [handle] = handles
  if (handle === undefined) throw new TpmError('TPM_PROTOCOL', `the answer to ${commandName} has no handle`)
  return handle
}
