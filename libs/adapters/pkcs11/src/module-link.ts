import { type Duplex } from 'node:stream'
import { ANSWER_DONE, ANSWER_FAILED, decodeFailure } from './channel/failure.ts'
import { FieldError } from './fields.ts'
import { channelCipher, newChannelKey } from './channel/channel-cipher.ts'
import { encodeFrame, type Frame, frameSplitter } from './channel/frame.ts'
import {
  type Answers,
  decodeAnswer,
  encodeRequest,
  type Operation,
  operationNumber,
  type Requests,
} from './channel/requests.ts'
import { type Deadline } from './deadline.ts'
import { Pkcs11Error } from './errors.ts'

/** A process with a module in it: answers requests, several at a time, each within its own deadline. */
export type ModuleProcess = {
  /**
   * Sends one request.
   *
   * At the deadline the process is killed: a thread that hangs in the module cannot be ended otherwise. A cancelled caller only
   * stops waiting.
   *
   * @throws {@link Pkcs11Error} `PKCS11_TIMEOUT`, `PKCS11_CANCELLED`, `PKCS11_CRASHED`, `PKCS11_PROTOCOL`,
   *   `PKCS11_PROCESS_UNAVAILABLE`, `PKCS11_MODULE_UNAVAILABLE`, `PKCS11_MODULE_NOT_READY`, and `PKCS11_CKR` with the module's own return value.
   */
  call<O extends Operation>(operation: O, request: Requests[O], deadline: Deadline): Promise<Answers[O]>
  /** Whether it has ended, or is about to. */
  isOver(): boolean
  /** Ends it at once: it hangs. */
  kill(): void
  /** Ends it in good order, or by force if that takes too long. */
  end(): Promise<void>
}

/** What a link needs of a process. */
export type LinkEnds = {
  readonly channel: Duplex
  /** Resolves with why there is no process any more. */
  readonly exited: Promise<Pkcs11Error>
  readonly kill: () => void
  readonly end: () => Promise<void>
  readonly hold: (isBusy: boolean) => void
  readonly idleTimeoutMs: number
}

type Pending = {
  readonly operation: Operation
  readonly settle: (frame: Frame) => void
  readonly fail: (error: Pkcs11Error) => void
}

/** Puts requests and answers onto the channel to a process. */
export function linkOver({ channel, exited, kill, end, hold, idleTimeoutMs }: LinkEnds): ModuleProcess {
  const pending = new Map<number, Pending>()
  const key = newChannelKey()
  const cipher = channelCipher(key, 'parent')
  channel.write(key, () => key.fill(0))
  let lastId = 0
  let over: Pkcs11Error | undefined
  let idle: NodeJS.Timeout | undefined

  const rest = (): void => {
    hold(pending.size > 0)
    clearTimeout(idle)
    if (pending.size > 0 || over !== undefined) return
    idle = setTimeout(() => void endInOrder(), idleTimeoutMs)
    idle.unref()
  }

  const endInOrder = async (): Promise<void> => {
    giveUp(new Pkcs11Error('PKCS11_CRASHED', 'the process with the PKCS#11 module is being ended'))
    await end()
  }

  /** Nobody waits any longer, and nothing more is asked. */
  function giveUp(error: Pkcs11Error): void {
    over ??= error
    for (const { fail } of pending.values()) fail(error)
    pending.clear()
    rest()
  }

  function killHanging(): void {
    kill()
    giveUp(new Pkcs11Error('PKCS11_CRASHED', 'the process with the PKCS#11 module was killed: another call hung'))
  }

  const split = frameSplitter(cipher, frame => {
    const waiting = pending.get(frame.id)
    pending.delete(frame.id)
    // Whoever asked has stopped waiting.
    if (waiting === undefined) frame.body.fill(0)
    else waiting.settle(frame)
    rest()
  })
  channel.on('data', (chunk: Buffer) => {
    try {
      split(chunk)
    } catch (cause) {
      kill()
      giveUp(new Pkcs11Error('PKCS11_PROTOCOL', 'the process with the PKCS#11 module sent what is no frame', { cause }))
    }
  })
  // A channel that breaks is always the end of the process as well, which says why.
  channel.on('error', () => {
    kill()
  })
  void exited.then(giveUp)

  return {
    isOver: () => over !== undefined,
    kill: killHanging,
    end: endInOrder,
    call: async (operation, request, deadline) => {
      const doing = `${DOING[operation]} in the PKCS#11 module`
      if (over !== undefined) throw over
      if (deadline.signal.aborted) throw deadline.error(doing)
      lastId += 1
      const id = lastId
      const answered = new Promise<Frame>((resolve, reject) => {
        pending.set(id, { operation, settle: resolve, fail: reject })
      })
      rest()
      const onAbort = (): void => {
        const error = deadline.error(doing)
        pending.get(id)?.fail(error)
        pending.delete(id)
        if (deadline.isCancelled()) {
          rest()
          return
        }
        killHanging()
      }
      deadline.signal.addEventListener('abort', onAbort, { once: true })
      try {
        send(id, operation, request)
        return answerOf(operation, await answered)
      } finally {
        deadline.signal.removeEventListener('abort', onAbort)
      }
    },
  }

  function send<O extends Operation>(id: number, operation: O, request: Requests[O]): void {
    const frame = encodeFrame(cipher, id, operationNumber(operation), encodeRequest(operation, request))
    channel.write(frame)
  }
}

/** Takes the answer apart. What is secret in it is copied by nobody: it stays in the frame's own memory. */
function answerOf<O extends Operation>(operation: O, { kind, body }: Frame): Answers[O] {
  try {
    if (kind === ANSWER_DONE) return decodeAnswer(operation, body)
    if (kind === ANSWER_FAILED) throw failureError(operation, body)
    throw new FieldError(`answer kind ${kind} is not known`)
  } catch (cause) {
    if (cause instanceof Pkcs11Error) throw cause
    body.fill(0)
    throw new Pkcs11Error('PKCS11_PROTOCOL', 'the answer of the process with the PKCS#11 module makes no sense', {
      cause,
    })
  }
}

function failureError(operation: Operation, body: Uint8Array): Pkcs11Error {
  const failure = decodeFailure(body)
  switch (failure.kind) {
    case 'ckr': {
      const { functionName, name, ckr } = failure
      return new Pkcs11Error('PKCS11_CKR', `${functionName} failed with ${name} (0x${ckr.toString(16)})`, { ckr })
    }
    case 'not-loaded':
      return new Pkcs11Error(
        'PKCS11_MODULE_UNAVAILABLE',
        `the PKCS#11 module cannot be loaded: ${failure.reason}. Check that it is installed here`,
      )
    case 'not-ready':
      return new Pkcs11Error(
        'PKCS11_MODULE_NOT_READY',
        `the PKCS#11 module does not come up: ${failure.reason}. Check its settings, and the HSM behind it`,
      )
    case 'other':
      return new Pkcs11Error('PKCS11_PROTOCOL', `${DOING[operation]} failed: ${failure.reason}`)
  }
}

/** For the sentence "… took longer than". */
const DOING: Readonly<Record<Operation, string>> = {
  load: 'loading',
  listTokens: 'listing tokens',
  openSessions: 'opening sessions',
  logIn: 'logging in',
  findKeys: 'finding the key',
  encrypt: 'encrypting',
  decrypt: 'decrypting',
  generateAesKey: 'making a key',
  generateRsaKeyPair: 'making a key pair',
  initToken: 'setting up the token',
}
