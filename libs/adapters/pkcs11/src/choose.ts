import { describeKey, describeToken, type KeySelector, type TokenSelector } from './access.ts'
import { type KeyFacts, type TokenFacts } from './channel/facts.ts'
import { Pkcs11Error } from './errors.ts'
import { CKF_TOKEN_INITIALIZED } from './token-info.ts'

/** Smallest RSA key that is used, in bits. */
export const MIN_RSA_BITS = 2048
const MAX_RSA_BITS = 16_384
const AES_BITS = 256

/** Whether somebody has set the token up. */
export function isInitialised({ flags }: TokenFacts): boolean {
  return (flags & CKF_TOKEN_INITIALIZED) !== 0
}

/**
 * The one token that is meant.
 *
 * @throws {@link Pkcs11Error} `PKCS11_TOKEN_NOT_FOUND`, `PKCS11_TOKEN_AMBIGUOUS`.
 */
export function chooseToken(tokens: readonly TokenFacts[], selector: TokenSelector): TokenFacts {
  const present = tokens.filter(isInitialised)
  const meant = present.filter(token =>
    'label' in selector ? token.label === selector.label : token.serialNumber === selector.serialNumber,
  )
  const [only] = meant
  if (only === undefined) {
    const others = present.map(({ label }) => label).join(', ') || 'none'
    throw new Pkcs11Error(
      'PKCS11_TOKEN_NOT_FOUND',
      `no token ${describeToken(selector)} is there (${others}): plug it in, or check the settings of the module`,
    )
  }
  if (meant.length > 1) {
    const serials = meant.map(({ serialNumber }) => serialNumber).join(', ')
    throw new Pkcs11Error(
      'PKCS11_TOKEN_AMBIGUOUS',
      `${meant.length} tokens ${describeToken(selector)} are there: name one by its serial number (${serials})`,
    )
  }
  return only
}

/**
 * The blank token that is to be set up.
 *
 * @param wanted.label - that it will have.
 * @throws {@link Pkcs11Error} `PKCS11_TOKEN_NOT_FOUND`, `PKCS11_TOKEN_AMBIGUOUS`.
 */
export function chooseBlankToken(
  tokens: readonly TokenFacts[],
  { label, serialNumber }: { readonly label: string; readonly serialNumber: string | undefined },
): TokenFacts {
  if (tokens.some(token => isInitialised(token) && token.label === label)) {
    throw new Pkcs11Error('PKCS11_TOKEN_AMBIGUOUS', `a token labelled ${label} is there already: choose another label`)
  }
  const blank = tokens.filter(
    token => !isInitialised(token) && (serialNumber === undefined || token.serialNumber === serialNumber),
  )
  const [only] = blank
  if (only === undefined) {
    throw new Pkcs11Error(
      'PKCS11_TOKEN_NOT_FOUND',
      'no blank token is there: one that is set up is never set up anew from here, since all that is on it would be lost',
    )
  }
  if (blank.length > 1) {
    const serials = blank.map(each => each.serialNumber).join(', ')
    throw new Pkcs11Error(
      'PKCS11_TOKEN_AMBIGUOUS',
      `${blank.length} blank tokens are there: name one by its serial number (${serials}), or leave only one plugged in`,
    )
  }
  return only
}

/**
 * The one key that is meant, if it is good for the mechanism.
 *
 * @param keys - all secret and private keys that fit the selector.
 * @throws {@link Pkcs11Error} `PKCS11_KEY_NOT_FOUND`, `PKCS11_KEY_AMBIGUOUS`, `PKCS11_KEY_WRONG_TYPE`.
 */
export function chooseKey(
  keys: readonly KeyFacts[],
  selector: KeySelector,
  mechanism: 'aes-gcm' | 'rsa-oaep',
): KeyFacts {
  const kind = mechanism === 'aes-gcm' ? 'aes' : 'rsa'
  const meant = keys.filter(key => key.kind === kind)
  const [only] = meant
  if (only === undefined) {
    if (keys.length > 0) {
      throw wrongType(selector, `is no ${kind === 'aes' ? 'AES' : 'RSA'} key, which ${mechanism} needs`)
    }
    throw new Pkcs11Error(
      'PKCS11_KEY_NOT_FOUND',
      `no key ${describeKey(selector)} is on the token: if it was deleted, restore it from the token's own backup, or open by another seal`,
    )
  }
  if (meant.length > 1) {
    throw new Pkcs11Error(
      'PKCS11_KEY_AMBIGUOUS',
      `${meant.length} keys ${describeKey(selector)} are on the token: name one by its CKA_ID, or give them different ones`,
    )
  }
  // A token that does not tell the size of an AES key is found out by nothing else.
  if (kind === 'aes' && only.bits !== 0 && only.bits !== AES_BITS) {
    throw wrongType(selector, `has ${only.bits} bits instead of ${AES_BITS}`)
  }
  if (kind === 'rsa' && (only.bits < MIN_RSA_BITS || only.bits > MAX_RSA_BITS)) {
    throw wrongType(selector, `has ${only.bits} bits: ${MIN_RSA_BITS} to ${MAX_RSA_BITS} are used`)
  }
  return only
}

function wrongType(selector: KeySelector, what: string): Pkcs11Error {
  return new Pkcs11Error('PKCS11_KEY_WRONG_TYPE', `the key ${describeKey(selector)} ${what}: name another key`)
}
