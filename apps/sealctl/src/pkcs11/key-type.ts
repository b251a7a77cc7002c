import { type Pkcs11Token } from '@sealwright/pkcs11'
import { Pkcs11CommandError } from './errors.ts'

/**
 * AES where the token offers it, unless somebody wants otherwise.
 *
 * @param token - `undefined` if it is not there: what comes next tells of that.
 * @throws {@link Pkcs11CommandError} `PKCS11_COMMAND_NO_MECHANISM`.
 */
export function usableType(
  token: Pick<Pkcs11Token, 'hasAesGcm' | 'hasRsaOaep'> | undefined,
  wanted: 'aes' | 'rsa' | undefined,
): 'aes' | 'rsa' {
  const type = wanted ?? (token?.hasAesGcm === false ? 'rsa' : 'aes')
  const isUsable = type === 'aes' ? token?.hasAesGcm : token?.hasRsaOaep
  if (isUsable !== false) return type
  throw new Pkcs11CommandError(
    'PKCS11_COMMAND_NO_MECHANISM',
    `the token does not decrypt with ${type === 'aes' ? 'AES-GCM' : 'RSA-OAEP'}: ${wanted === undefined ? 'it is of no use here' : 'leave --type out'}`,
  )
}
