import { once } from 'node:events'
import { type Readable, type Writable } from 'node:stream'
import { CHANNEL_KEY_BYTES, type ChannelCipher, channelCipher } from '../channel/channel-cipher.ts'
import { ANSWER_DONE, ANSWER_FAILED, encodeFailure, type Failure } from '../channel/failure.ts'
import { FieldError, join, type Part } from '../fields.ts'
import { encodeFrame, type Frame, frameSplitter } from '../channel/frame.ts'
import { decodeRequest, encodeAnswer, operationOf } from '../channel/requests.ts'
import { RequestFailure } from './cryptoki.ts'
import { createWorker, type Worker } from './operations.ts'

/**
 * Does what is asked for on `input` and answers on `output`, several requests at a time, until `input` ends: the main function
 * of the process that the vendor's module runs in.
 *
 * Whoever starts it gives it nothing else to do, and ends the process when this resolves, without waiting for anything: a
 * thread that hangs in the module never ends. Both streams are the channel at descriptor 3, not stdin and stdout: modules print.
 */
export async function servePkcs11(input: Readable, output: Writable): Promise<void> {
  const worker = createWorker()
  let runningCount = 0
  const answer = async (cipher: ChannelCipher, frame: Frame): Promise<void> => {
    runningCount += 1
    const { kind, part, secret } = await answerTo(worker, frame)
    runningCount -= 1
    // Encrypted and written in one go: the other end counts.
    output.write(frameOf(cipher, frame.id, kind, part))
    secret?.fill(0)
  }
  const take = keyThenFrames((cipher, frame) => void answer(cipher, frame))
  input.on('data', (chunk: Buffer) => {
    try {
      take(chunk)
    } catch (error) {
      // What comes after bytes that are no frame cannot be told: end, as if the parent had.
      input.destroy(error instanceof Error ? error : undefined)
    }
  })
  // `close` comes after an end and after an error alike.
  input.on('error', () => input.destroy())
  output.on('error', () => input.destroy())
  if (!input.destroyed) await once(input, 'close')
  // What still runs may hang, and we end anyway.
  if (runningCount === 0) await worker.close().catch(() => undefined)
}

/** An answer that is too long becomes a failure, which is not. */
function frameOf(cipher: ChannelCipher, id: number, kind: number, part: Part): Uint8Array {
  try {
    return encodeFrame(cipher, id, kind, part)
  } catch (error) {
    return encodeFrame(cipher, id, ANSWER_FAILED, encodeFailure(failureOf(error)))
  }
}

/** Takes the channel's key off the beginning of a stream, and frames after it. */
function keyThenFrames(onFrame: (cipher: ChannelCipher, frame: Frame) => void): (chunk: Uint8Array) => void {
  let key: Uint8Array = new Uint8Array(0)
  let split: ((chunk: Uint8Array) => void) | undefined
  return chunk => {
    const wanted = CHANNEL_KEY_BYTES - key.byteLength
    if (split === undefined) {
      const before = key
      key = join([before, chunk.subarray(0, wanted)])
      before.fill(0)
      chunk.fill(0, 0, wanted)
      if (key.byteLength < CHANNEL_KEY_BYTES) return
      const cipher = channelCipher(key, 'child')
      split = frameSplitter(cipher, frame => {
        onFrame(cipher, frame)
      })
    }
    split(chunk.subarray(wanted))
    key.fill(0)
  }
}

type Answer = { readonly kind: number; readonly part: Part; readonly secret?: Uint8Array }

/** Never throws: a request that is not understood is answered as well. */
async function answerTo(worker: Worker, { kind, body }: Frame): Promise<Answer> {
  try {
    const operation = operationOf(kind)
    const result = await worker.do(operation, decodeRequest(operation, body))
    const done = { kind: ANSWER_DONE, part: encodeAnswer(operation, result) }
    return result instanceof Uint8Array ? { ...done, secret: result } : done
  } catch (error) {
    return { kind: ANSWER_FAILED, part: encodeFailure(failureOf(error)) }
  } finally {
    body.fill(0)
  }
}

function failureOf(error: unknown): Failure {
  if (error instanceof RequestFailure) return error.failure
  if (error instanceof FieldError) return { kind: 'other', reason: error.message }
  return { kind: 'other', reason: error instanceof Error ? `${error.name}: ${error.message}` : 'unknown' }
}
