import { MAX_SHARE_BYTES } from '@sealwright/control-api'
import { allocateKeyBytes, Secret } from '@sealwright/secret'
import { ShamirError } from '@sealwright/shamir'
import { type CommandContext, write } from '../context.ts'
import { hiddenInput, type HiddenInput } from '../terminal/hidden-input.ts'
import { readShareInput, type ShareInput } from './share-input.ts'

const SPACE = 0x20

/** Asks people for their shares, one after another. Disposing of it gives the terminal back. */
export interface SharePrompt extends Disposable {
  /**
   * Asks until a share is spelt well: a wrong one is told, with its group, and asked for again. A share may be entered in several lines,
   * as its card has it.
   *
   * @returns `undefined` for an empty line: nobody has one to enter.
   */
  next(): Promise<ShareInput | undefined>
}

export function sharePrompt(context: CommandContext): SharePrompt {
  const input = hiddenInput(context, MAX_SHARE_BYTES)
  return {
    async next() {
      for (;;) {
        try {
          return await askForOne(input)
        } catch (error) {
          if (!(error instanceof ShamirError)) throw error
          await write(context.stderr, `${error.code}: ${error.message}\n`)
        }
      }
    },
    [Symbol.dispose]() {
      input[Symbol.dispose]()
    },
  }
}

async function askForOne(input: HiddenInput): Promise<ShareInput | undefined> {
  let whole = await input.ask('Share (not shown; Enter alone to end): ')
  if (whole === undefined || whole.byteLength === 0) return undefined
  for (;;) {
    using text = whole
    const share = readWhole(text)
    if (share instanceof ShamirError) {
      using more = await input.ask('The share is not whole yet; its next line (Enter alone to begin anew): ')
      if (more === undefined || more.byteLength === 0) throw share
      whole = joined(text, more)
    } else {
      return share
    }
  }
}

/** The share, or the error that says that it goes on. */
function readWhole(text: Secret): ShareInput | ShamirError {
  try {
    return readShareInput(text.clone())
  } catch (error) {
    if (error instanceof ShamirError && error.code === 'SHAMIR_SHARE_TRUNCATED') return error
    throw error
  }
}

function joined(before: Secret, more: Secret): Secret {
  const whole = allocateKeyBytes(before.byteLength + 1 + more.byteLength)
  before.reveal(bytes => {
    whole.set(bytes)
  })
  whole[before.byteLength] = SPACE
  more.reveal(bytes => {
    whole.set(bytes, before.byteLength + 1)
  })
  return new Secret(whole)
}
