import { type Pkcs11Access } from './access.ts'
import { join, sized, text } from './fields.ts'
import { bareCkrOf, Pkcs11Error, withMeaning } from './errors.ts'
import { REMOVED, STALE, UNSUPPORTED, WRONG_KEY } from './ckr.ts'
import { GCM_CIPHERTEXT_BYTES, IV_BYTES } from './sealed-kek.ts'
import { type OpenKey } from './token-operation.ts'

const AAD_DOMAIN = 'sealwright pkcs11 kek v1'

/** What the token encrypted, and under which initialisation vector. */
export type GcmSealed = { readonly iv: Uint8Array; readonly ciphertext: Uint8Array }

/** Who chooses initialisation vectors: most tokens take ours, some insist on their own and want zeros in the place for it. */
export type IvSource = 'ours' | 'token'

/** Known to everybody: it only shows that the token gives back what it was given. */
const KNOWN_ANSWER = Uint8Array.from({ length: 32 }, (_, index) => index)

/** Associated data of a sealed KEK: length (2) ‖ domain ‖ length (2) ‖ member id. */
export function gcmAssociatedData(memberId: Uint8Array): Uint8Array {
  return join([text(AAD_DOMAIN), sized(memberId)])
}

/** Encrypts 32 bytes on the token. */
export async function gcmEncrypt(
  open: OpenKey,
  plaintext: Uint8Array,
  aad: Uint8Array,
  ivs: { readonly source: IvSource; readonly randomBytes: Pkcs11Access['randomBytes'] },
): Promise<GcmSealed> {
  const asked = ivs.source === 'ours' ? ivs.randomBytes(IV_BYTES) : new Uint8Array(IV_BYTES)
  const { iv, ciphertext } = await open.call('encrypt', {
    slot: open.token.slot,
    handle: open.key.handle,
    mechanism: { kind: 'aes-gcm', iv: asked, aad },
    data: plaintext,
  })
  if (iv.byteLength !== IV_BYTES || ciphertext.byteLength !== GCM_CIPHERTEXT_BYTES) {
    throw broken(`it made ${ciphertext.byteLength} bytes of ${plaintext.byteLength}`)
  }
  // Zeros are for a token to write over. One that leaves them would use them again and again, which gives the key away.
  if (iv.every(byte => byte === 0)) {
    throw new Pkcs11Error(
      'PKCS11_MECHANISM_UNSUPPORTED',
      'the token neither takes our initialisation vectors for AES-GCM nor makes its own: use rsa-oaep with it',
    )
  }
  return { iv, ciphertext }
}

/** Decrypts on the token. The caller wipes the result. */
export async function gcmDecrypt(open: OpenKey, { iv, ciphertext }: GcmSealed, aad: Uint8Array): Promise<Uint8Array> {
  return await open.call('decrypt', {
    slot: open.token.slot,
    handle: open.key.handle,
    mechanism: { kind: 'aes-gcm', iv, aad },
    data: ciphertext,
  })
}

/**
 * Shows that the key encrypts and decrypts, never twice the same, and refuses what was changed, its associated data too.
 *
 * @returns who chooses the initialisation vectors.
 * @throws {@link Pkcs11Error} `PKCS11_TOKEN_BROKEN`, `PKCS11_MECHANISM_UNSUPPORTED`, and what the token answers.
 */
export async function gcmSelfTest(open: OpenKey, randomBytes: Pkcs11Access['randomBytes']): Promise<IvSource> {
  const aad = gcmAssociatedData(new Uint8Array(0))
  const attempt = async (source: IvSource) => await gcmEncrypt(open, KNOWN_ANSWER, aad, { source, randomBytes })
  let source: IvSource = 'ours'
  const sealed = await attempt(source).catch(async (error: unknown) => {
    if (!UNSUPPORTED.has(bareCkrOf(error) ?? -1)) throw error
    source = 'token'
    return await attempt(source)
  })
  const again = await attempt(source)
  if (Buffer.compare(again.ciphertext, sealed.ciphertext) === 0) throw broken('it encrypts the same twice alike')
  const opened = await gcmDecrypt(open, sealed, aad)
  if (Buffer.compare(opened, KNOWN_ANSWER) !== 0) throw broken('it opens something else than it sealed')
  const changed = Uint8Array.from(sealed.ciphertext, (byte, index) => (index === 0 ? byte ^ 1 : byte))
  await assertRefused(gcmDecrypt(open, { ...sealed, ciphertext: changed }, aad), 'a changed ciphertext')
  await assertRefused(gcmDecrypt(open, sealed, Uint8Array.of(...aad, 0)), 'other associated data')
  return source
}

async function assertRefused(decrypting: Promise<Uint8Array>, what: string): Promise<void> {
  try {
    ;(await decrypting).fill(0)
  } catch (error) {
    if (isRefusal(error)) return
    throw error
  }
  throw broken(`it takes ${what}`)
}

/** Whether a token that works otherwise has refused a ciphertext. Each one does it by another return value. */
export function isRefusal(error: unknown): boolean {
  const ckr = bareCkrOf(error)
  return ckr !== undefined && ![STALE, REMOVED, WRONG_KEY].some(set => set.has(ckr))
}

/**
 * The error for a token that refused a ciphertext. Tampering and a broken token give the same answer, so that the self-test decides.
 *
 * @throws {@link Pkcs11Error} always: `PKCS11_CIPHERTEXT_REFUSED`, or `PKCS11_TOKEN_BROKEN`, or why nobody can say.
 */
export async function explainRefusal(error: Pkcs11Error, selfTest: () => Promise<unknown>): Promise<never> {
  try {
    await selfTest()
  } catch (failure) {
    // What the token has never been able to do is not broken.
    const isUnsupported = UNSUPPORTED.has(bareCkrOf(failure) ?? -1)
    if (isUnsupported || !isRefusal(failure) || !(failure instanceof Pkcs11Error)) throw failure
    throw withMeaning(
      'PKCS11_TOKEN_BROKEN',
      `the token does not open this key, nor what it has just sealed itself (${failure.message})`,
      failure,
    )
  }
  throw withMeaning(
    'PKCS11_CIPHERTEXT_REFUSED',
    `the token works, and refuses this key (${error.message}): it was changed, or the key on the token was replaced under the same ` +
      'name. Restore the record from a copy, or open by another seal',
    error,
  )
}

function broken(how: string): Pkcs11Error {
  return new Pkcs11Error('PKCS11_TOKEN_BROKEN', `the token cannot be relied on: ${how}`)
}
