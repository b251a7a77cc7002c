import { type IncomingMessage } from 'node:http'
import {
  BYTES_TYPE,
  ControlApiError,
  JSON_TYPE,
  type Operation,
  parseJsonBody,
  type RequestBody,
  splitSecretLines,
} from '@sealwright/control-api'
import { allocateKeyBytes, Secret } from '@sealwright/secret'

/** More than any request of ours in JSON needs: `drop` may name a thousand members. */
const MAX_JSON_BYTES = 64 * 1024

export interface BodyLimits {
  /** For a whole body, or for the next piece of a streamed one. */
  readonly bodyTimeoutMs: number
}

/**
 * Refuses a request whose headers show already that its body is none for the operation. Nothing of the body has been read then.
 *
 * @throws {ControlApiError} `CONTROL_CONTENT_TYPE`, `CONTROL_BODY_TOO_LARGE`, `CONTROL_REQUEST_INVALID`.
 */
export function assertBodyFits({ body }: Operation, request: IncomingMessage): void {
  const { 'content-type': type, 'content-length': length, 'transfer-encoding': coding } = request.headers
  const isEmpty = coding === undefined && (length === undefined || length === '0')
  if (body === undefined) {
    if (!isEmpty) throw new ControlApiError('CONTROL_REQUEST_INVALID', 'this request takes no body')
    return
  }
  if (isEmpty) {
    if (body.kind === 'json') return
    throw new ControlApiError('CONTROL_REQUEST_INVALID', `the body is missing: ${body.what}`)
  }
  const expected = body.kind === 'json' ? JSON_TYPE : BYTES_TYPE
  if (type?.split(';')[0]?.trim().toLowerCase() !== expected) {
    throw new ControlApiError('CONTROL_CONTENT_TYPE', `the body must come as Content-Type: ${expected}`)
  }
  if (Number(length ?? 0) > maxBytesOf(body)) throw tooLarge(body)
}

/**
 * Reads the body that an operation takes. A stream is not read here, but by whoever is given it.
 *
 * @throws {ControlApiError} `CONTROL_BODY_TOO_LARGE`, `CONTROL_REQUEST_SLOW`, `CONTROL_REQUEST_INVALID`.
 */
export async function readBody({ body }: Operation, request: IncomingMessage, limits: BodyLimits): Promise<unknown> {
  switch (body?.kind) {
    case undefined:
      return undefined
    case 'json':
      return parseJsonBody(body.schema, await readAll(body, request, limits))
    case 'bytes':
      return notEmpty(await readAll(body, request, limits), body.what)
    case 'secret':
      return new Secret(notEmpty(await readAll(body, request, limits), body.what))
    case 'secrets':
      return splitSecretLines(notEmpty(await readAll(body, request, limits), body.what), body)
    case 'stream':
      return chunksOf(request, () => limits.bodyTimeoutMs)
  }
}

/**
 * Reads what is left of a body and keeps nothing of it.
 *
 * @param patienceMs - how long the next piece may take.
 * @returns whether the request is whole now.
 */
export async function discardRest(request: IncomingMessage, patienceMs: number): Promise<boolean> {
  if (request.complete || request.destroyed) return request.complete
  const { promise, resolve } = Promise.withResolvers<undefined>()
  const done = (): void => {
    resolve(undefined)
  }
  const timer = setTimeout(done, patienceMs)
  request.on('end', done).on('error', done).on('close', done)
  // Whoever read before may have stopped without a word, and would hold the rest back.
  request.removeAllListeners('readable')
  request.on('data', () => timer.refresh())
  request.resume()
  await promise
  clearTimeout(timer)
  return request.complete
}

function maxBytesOf(body: RequestBody): number {
  switch (body.kind) {
    case 'json':
      return MAX_JSON_BYTES
    case 'bytes':
    case 'secret':
      return body.maxBytes
    case 'secrets':
      // Each line may end with a carriage return and a line feed.
      return (body.maxBytes + 2) * body.maxLines
    case 'stream':
      return Number.POSITIVE_INFINITY
  }
}

async function readAll(body: RequestBody, request: IncomingMessage, limits: BodyLimits): Promise<Uint8Array> {
  const maxBytes = maxBytesOf(body)
  const endsAtMs = performance.now() + limits.bodyTimeoutMs
  const chunks: Buffer[] = []
  let byteLength = 0
  try {
    for await (const chunk of chunksOf(request, () => endsAtMs - performance.now())) {
      chunks.push(chunk)
      byteLength += chunk.byteLength
      if (byteLength > maxBytes) throw tooLarge(body)
    }
    const whole = allocateKeyBytes(byteLength)
    let at = 0
    for (const chunk of chunks) {
      whole.set(chunk, at)
      at += chunk.byteLength
    }
    return whole
  } finally {
    for (const chunk of chunks) chunk.fill(0)
  }
}

/**
 * What comes, as it comes. Who stops reading leaves the request whole, so that a refusal still reaches its sender.
 *
 * @param patienceMs - how long the next piece may take. Time that the reader needs for a piece is not counted.
 */
async function* chunksOf(request: IncomingMessage, patienceMs: () => number): AsyncGenerator<Buffer> {
  const iterator = request.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer, undefined>
  try {
    for (;;) {
      const { done, value } = await inTime(iterator.next(), patienceMs())
      if (done === true) return
      yield value
    }
  } finally {
    // Not waited for: it ends only when a piece comes that may never come.
    void iterator.return?.()
  }
}

async function inTime<T>(promise: Promise<T>, patienceMs: number): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    late.reject(new ControlApiError('CONTROL_REQUEST_SLOW', 'the body did not come in time'))
  }, patienceMs)
  try {
    return await Promise.race([promise, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

function notEmpty(bytes: Uint8Array, what: string): Uint8Array {
  if (bytes.byteLength > 0) return bytes
  throw new ControlApiError('CONTROL_REQUEST_INVALID', `the body is missing: ${what}`)
}

function tooLarge(body: RequestBody): ControlApiError {
  return new ControlApiError('CONTROL_BODY_TOO_LARGE', `the body has more than ${maxBytesOf(body)} bytes`)
}
