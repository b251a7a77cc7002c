import { hex } from '@sealwright/bytes'
import { type Secret } from '@sealwright/secret'
import { encodeShare, parseShare } from '@sealwright/shamir'

/** A share that was read here, before the agent sees it: typing errors show at once. */
export interface ShareInput extends Disposable {
  /** As a card has it, in one line. */
  readonly text: Secret
  /** Which of the shares it is. */
  readonly index: number
  /** How many there are. */
  readonly count: number
  readonly threshold: number
  /** 16 bytes in hex. */
  readonly clusterId: string
  readonly memberId: string
}

/**
 * Reads a share as somebody wrote it.
 *
 * @param text - is wiped.
 * @throws {ShamirError} `SHAMIR_SHARE_*`: what is wrong with its spelling, and in which group.
 */
export function readShareInput(text: Secret): ShareInput {
  try {
    const share = text.reveal(parseShare)
    try {
      const canonical = encodeShare(share)
      const { index, threshold, shares: count, clusterId, memberId } = share
      return {
        ...{ text: canonical, index, count, threshold },
        clusterId: hex(clusterId),
        memberId: hex(memberId),
        [Symbol.dispose]: () => {
          canonical.wipe()
        },
      }
    } finally {
      share.value.wipe()
    }
  } finally {
    text.wipe()
  }
}
