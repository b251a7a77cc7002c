import { createHash, timingSafeEqual } from 'node:crypto'
import { type Secret } from '@sealwright/secret'
import { OpenBaoError } from '../error.ts'
import { type Clock } from './clock.ts'

/**
 * OpenBao locks an approle role for 15 minutes, and for every machine that uses it, after five refused secret ids, and
 * forgets refusals that are 15 minutes old. One a little less often never adds up to five.
 */
const HOLD_MS = 16 * 60_000

/** Keeps one refused credential from being sent again and again. */
export interface RefusalMemory {
  /** Remembers that this credential was refused. Of the credential itself a hash is kept. */
  readonly remember: (secrets: readonly Secret[], refusal: OpenBaoError) => void
  /**
   * @throws {@link OpenBaoError} the code of the refusal, for the same credential within 16 minutes of it.
   */
  readonly assertNotRefused: (secrets: readonly Secret[]) => void
}

/** Makes a memory of one refusal. Another credential passes at once. */
export function refusalMemory({ nowMs }: Clock): RefusalMemory {
  let last: { readonly hash: Uint8Array; readonly refusal: OpenBaoError; readonly untilMs: number } | undefined
  return {
    remember: (secrets, refusal) => {
      last = { hash: hashOf(secrets), refusal, untilMs: nowMs() + HOLD_MS }
    },
    assertNotRefused: secrets => {
      if (last === undefined || nowMs() >= last.untilMs || !timingSafeEqual(last.hash, hashOf(secrets))) return
      const { code, message, status, serverErrors } = last.refusal
      const text = `${message} (held back: this credential was refused before and is not sent again for now)`
      throw new OpenBaoError(code, text, { cause: last.refusal, status, serverErrors })
    },
  }
}

/** SHA-256 over each length (4 bytes) and secret. A secret id has 122 random bits: its hash tells nothing. */
function hashOf(secrets: readonly Secret[]): Uint8Array {
  const hash = createHash('sha256')
  for (const secret of secrets) {
    const length = new Uint8Array(4)
    new DataView(length.buffer).setUint32(0, secret.byteLength)
    hash.update(length)
    secret.reveal(bytes => hash.update(bytes))
  }
  return hash.digest()
}
