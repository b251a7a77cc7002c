import { type Secret } from '@sealwright/secret'
import { OpenBaoError } from '../error.ts'

/** A token that several calls use at once: wiped when it is given up, but under nobody's hands. */
export interface HeldToken {
  /** @throws {@link OpenBaoError} `OPENBAO_CANCELLED` if it was given up already. */
  readonly use: <T>(run: (token: Secret) => Promise<T>) => Promise<T>
  readonly equals: (other: Secret) => boolean
  /** No new use; wiped once the last one has ended. */
  readonly giveUp: () => void
}

/** Takes ownership of the token. */
export function holdToken(token: Secret): HeldToken {
  let uses = 0
  let givenUp = false
  const wipeIfUnused = (): void => {
    if (givenUp && uses === 0) token.wipe()
  }
  return {
    use: async run => {
      if (givenUp) throw new OpenBaoError('OPENBAO_CANCELLED', 'the token was given up')
      uses += 1
      try {
        return await run(token)
      } finally {
        uses -= 1
        wipeIfUnused()
      }
    },
    equals: other => !givenUp && token.equals(other),
    giveUp: () => {
      givenUp = true
      wipeIfUnused()
    },
  }
}
