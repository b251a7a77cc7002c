import { type Keyring, KeyringError } from '@sealwright/keyring'
import { OperationError } from './errors.ts'

/**
 * Says in an operator's words that something is the last way in.
 *
 * @throws {@link OperationError} `OPERATION_LAST_WAY_IN`; what else `remove` throws.
 */
export function neverTheLast(name: string, remove: () => Keyring): Keyring {
  try {
    return remove()
  } catch (error) {
    if (!(error instanceof KeyringError) || error.code !== 'KEYRING_NO_WAY_IN') throw error
    throw new OperationError(
      'OPERATION_LAST_WAY_IN',
      `nothing was changed: ${name} is the last way in (${error.message}); give another seal a record first`,
      { cause: error },
    )
  }
}
