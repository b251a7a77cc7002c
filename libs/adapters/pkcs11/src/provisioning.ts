import { isUtf8 } from 'node:buffer'
import { type Secret } from '@sealwright/secret'
import { type TokenAccess } from './access.ts'
import { type KeyFacts, type ModuleFacts, type TokenFacts } from './channel/facts.ts'
import { chooseBlankToken, isInitialised } from './choose.ts'
import { INVALID_PIN } from './ckr.ts'
import { startDeadline } from './deadline.ts'
import { bareCkrOf, Pkcs11Error, withMeaning } from './errors.ts'
import { type Pkcs11Module } from './module.ts'
import { TOKEN_LABEL_BYTES } from './token-info.ts'
import { type CallOptions, type OpenToken, withToken } from './token-operation.ts'

/** A token as an operator sees it. */
export type Pkcs11Token = Omit<TokenFacts, 'slot' | 'flags'> & {
  /** `false` for a blank one. */
  readonly isInitialised: boolean
}

/** A key as an operator sees it. */
export type Pkcs11Key = Omit<KeyFacts, 'handle'>

/** Length of the CKA_ID of keys that are made here, in bytes: random, so that it stands for the key wherever it is copied to. */
export const NEW_KEY_ID_BYTES = 16

/** What a new key is called. */
export type NewKeyOptions = {
  readonly label: string
  /** Source of the CKA_ID: `crypto.randomBytes` outside tests. */
  readonly randomBytes: (count: number) => Uint8Array
}

/** The module and the tokens in its slots. Logs in nowhere. */
export async function listPkcs11Tokens(
  module: Pkcs11Module,
  { signal, timeoutMs }: CallOptions & { readonly timeoutMs: number },
): Promise<{ readonly module: ModuleFacts; readonly tokens: readonly Pkcs11Token[] }> {
  const deadline = startDeadline(timeoutMs, signal)
  const ready = await module.ready(deadline)
  const tokens = await ready.process.call('listTokens', {}, deadline)
  return {
    module: ready.facts,
    tokens: tokens.map(tokenView),
  }
}

/** What a blank token is set up with. */
export type NewToken = {
  /** 1 to 32 bytes of UTF-8. No other token of the module has it. */
  readonly label: string
  /** Which blank token; needed where there are several. */
  readonly serialNumber?: string
  /** Of the security officer, in UTF-8. Both PINs stay the caller's. */
  readonly soPin: Secret
  readonly pin: Secret
}

/**
 * Sets a blank token up: gives it its label and the PINs of its security officer and its user. One that is set up already is left alone: all that
 * is on it would be lost.
 *
 * @throws {@link Pkcs11Error} `PKCS11_INVALID_ARGUMENT`, `PKCS11_TOKEN_NOT_FOUND` without a blank token, `PKCS11_TOKEN_AMBIGUOUS` with several
 *   or where another token has the label; `PKCS11_PIN_INVALID`, and those of the module.
 */
export async function initialiseToken(
  module: Pkcs11Module,
  { label, serialNumber, soPin, pin }: NewToken,
  { signal, timeoutMs }: CallOptions & { readonly timeoutMs: number },
): Promise<Pkcs11Token> {
  const labelBytes = Buffer.byteLength(label)
  if (label.trim() !== label || labelBytes === 0 || labelBytes > TOKEN_LABEL_BYTES) {
    throw new Pkcs11Error(
      'PKCS11_INVALID_ARGUMENT',
      `the label of a token has 1 to ${TOKEN_LABEL_BYTES} bytes of UTF-8, without spaces at its ends`,
    )
  }
  if (![soPin, pin].every(each => each.reveal(isUtf8))) {
    throw new Pkcs11Error(
      'PKCS11_PIN_INVALID',
      'nothing was changed: a PIN is not in UTF-8, as every PIN of PKCS#11 is',
    )
  }
  const deadline = startDeadline(timeoutMs, signal)
  const { process } = await module.ready(deadline)
  const { slot } = chooseBlankToken(await process.call('listTokens', {}, deadline), { label, serialNumber })
  try {
    await soPin.reveal(officer =>
      pin.reveal(user => process.call('initToken', { slot, label, soPin: officer, pin: user }, deadline)),
    )
  } catch (error) {
    if (error instanceof Pkcs11Error && INVALID_PIN.has(bareCkrOf(error) ?? NO_CKR)) {
      throw withMeaning(
        'PKCS11_PIN_INVALID',
        `the token cannot take such a PIN (${error.message}): see its maker's rules for length`,
        error,
      )
    }
    throw error
  }
  const made = (await process.call('listTokens', {}, deadline)).find(token => token.label === label)
  if (made !== undefined) return tokenView(made)
  throw new Pkcs11Error('PKCS11_TOKEN_BROKEN', 'the token was set up, and is not among those that the module lists')
}

/** Not a return value. */
const NO_CKR = -1

/** The secret and private keys on a token, at most 64. */
export async function listPkcs11Keys(access: TokenAccess, options: CallOptions): Promise<readonly Pkcs11Key[]> {
  return await withToken(access, options, async open => {
    const keys = await open.call('findKeys', { slot: open.token.slot, query: { kind: 'all' } })
    return keys.map(operatorView)
  })
}

/**
 * Makes an AES-256 key on the token: sensitive, never extractable, for nothing but encryption, with a random CKA_ID.
 *
 * @throws {@link Pkcs11Error} `PKCS11_KEY_AMBIGUOUS` if a key with this label is there already, and those of the token.
 */
export async function generateAesKey(
  access: TokenAccess,
  newKey: NewKeyOptions,
  options: CallOptions,
): Promise<Pkcs11Key> {
  return await generate(access, newKey, options, async (open, id) => {
    await open.call('generateAesKey', { slot: open.token.slot, id, label: newKey.label })
  })
}

/**
 * Makes an RSA key pair on the token: its private half sensitive, never extractable, for nothing but decryption.
 *
 * @throws as {@link generateAesKey}; `PKCS11_INVALID_ARGUMENT` for another number of bits.
 */
export async function generateRsaKeyPair(
  access: TokenAccess,
  newKey: NewKeyOptions & { readonly modulusBits: 2048 | 3072 | 4096 },
  options: CallOptions,
): Promise<Pkcs11Key> {
  const { modulusBits, label } = newKey
  if (![2048, 3072, 4096].includes(modulusBits)) {
    throw new Pkcs11Error('PKCS11_INVALID_ARGUMENT', `an RSA key has 2048, 3072 or 4096 bits, not ${modulusBits}`)
  }
  return await generate(access, newKey, options, async (open, id) => {
    await open.call('generateRsaKeyPair', { slot: open.token.slot, id, label, modulusBits })
  })
}

async function generate(
  access: TokenAccess,
  { label, randomBytes }: NewKeyOptions,
  options: CallOptions,
  make: (open: OpenToken, id: Uint8Array) => Promise<void>,
): Promise<Pkcs11Key> {
  if (label === '') throw new Pkcs11Error('PKCS11_INVALID_ARGUMENT', 'a new key needs a label')
  return await withToken(access, options, async open => {
    const { slot } = open.token
    // A second key of the same name would make each one that a configuration names by it ambiguous.
    if ((await open.call('findKeys', { slot, query: { kind: 'label', label } })).length > 0) {
      throw new Pkcs11Error(
        'PKCS11_KEY_AMBIGUOUS',
        `a key labelled ${label} is on the token already: choose another label`,
      )
    }
    const id = randomBytes(NEW_KEY_ID_BYTES)
    await make(open, id)
    const [made] = await open.call('findKeys', { slot, query: { kind: 'id', id } })
    if (made === undefined) throw new Pkcs11Error('PKCS11_TOKEN_BROKEN', 'the token made a key, and does not find it')
    return operatorView(made)
  })
}

function tokenView(token: TokenFacts): Pkcs11Token {
  return {
    label: token.label,
    manufacturer: token.manufacturer,
    model: token.model,
    serialNumber: token.serialNumber,
    hasAesGcm: token.hasAesGcm,
    hasRsaOaep: token.hasRsaOaep,
    isInitialised: isInitialised(token),
  }
}

function operatorView(key: KeyFacts): Pkcs11Key {
  return {
    kind: key.kind,
    id: key.id,
    label: key.label,
    bits: key.bits,
    modulus: key.modulus,
    publicExponent: key.publicExponent,
    isSensitive: key.isSensitive,
    isExtractable: key.isExtractable,
    wasAlwaysSensitive: key.wasAlwaysSensitive,
    wasNeverExtractable: key.wasNeverExtractable,
    isLocal: key.isLocal,
  }
}
