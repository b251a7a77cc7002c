import { type Requests } from '../channel/requests.ts'
import { CKF_TOKEN_INITIALIZED, TOKEN_LABEL_BYTES } from '../token-info.ts'
import { CKR_PIN_LEN_RANGE } from '../ckr.ts'
import { asBuffer, call, ckrFailure, type LoadedModule, RequestFailure } from './cryptoki.ts'

const decoder = new TextDecoder('utf-8', { fatal: true })
const SPACE = 0x20

/**
 * Sets a blank token up: C_InitToken, then C_InitPIN as its security officer. Never one that somebody has set up already, since all that
 * is on it would be destroyed.
 *
 * Both PINs become strings, as the one of `logIn` does, and for the same reason.
 */
export function initToken(loaded: LoadedModule, { slot, label, soPin, pin }: Requests['initToken']): void {
  const { lib, cryptoki } = loaded
  const handle = asBuffer(Uint8Array.from(slot))
  const info = call(loaded, 'C_GetTokenInfo', () => lib.C_GetTokenInfo(handle))
  if ((info.flags & CKF_TOKEN_INITIALIZED) !== 0) {
    throw new RequestFailure({ kind: 'other', reason: 'the token is set up already' })
  }
  // Before anything is changed: a token with a label and no PIN of its user is of no use, and not blank any more.
  for (const { byteLength } of [soPin, pin]) {
    if (byteLength < info.minPinLen || (info.maxPinLen > 0 && byteLength > info.maxPinLen)) {
      throw ckrFailure('CKR_PIN_LEN_RANGE', CKR_PIN_LEN_RANGE, 'C_InitToken')
    }
  }
  const [officer, user] = [decoder.decode(soPin), decoder.decode(pin)]
  call(loaded, 'C_InitToken', () => {
    lib.C_InitToken(handle, officer, paddedLabel(label))
  })
  const session = call(loaded, 'C_OpenSession', () =>
    lib.C_OpenSession(handle, cryptoki.CKF_SERIAL_SESSION | cryptoki.CKF_RW_SESSION),
  )
  try {
    call(loaded, 'C_Login', () => {
      lib.C_Login(session, cryptoki.CKU_SO, officer)
    })
    call(loaded, 'C_InitPIN', () => {
      lib.C_InitPIN(session, user)
    })
  } finally {
    // With its only session the login ends.
    call(loaded, 'C_CloseSession', () => {
      lib.C_CloseSession(session)
    })
  }
}

/** The module reads 32 bytes, whatever it is given: filled up with spaces, without a zero byte at the end (PKCS#11 v2.40, clause 5.5). */
function paddedLabel(label: string): string {
  const bytes = new Uint8Array(TOKEN_LABEL_BYTES).fill(SPACE)
  const { read } = new TextEncoder().encodeInto(label, bytes)
  if (read < label.length) throw new RequestFailure({ kind: 'other', reason: 'the label is too long' })
  return decoder.decode(bytes)
}
