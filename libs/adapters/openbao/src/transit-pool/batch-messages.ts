import { randomBytes } from 'node:crypto'
import { allocateKeyBytes, decodeBase64, type Secret, SecretError } from '@sealwright/secret'
import { OpenBaoError } from '../error.ts'
import { quoteFrom, statusError } from '../failure.ts'
import { countOf, malformedField, memberOf } from '../secret-fields.ts'
import { parseSecretJson, type SecretJson, secretText } from '../secret-json.ts'
import { type Answer } from '../transport.ts'
import { base64Length, encodeBase64Into } from '../transit/base64.ts'
import { parseCiphertext, type TransitCiphertext } from '../transit/ciphertext.ts'

/** What became of one item of a batch. */
export type Outcome<T> =
  { readonly kind: 'done'; readonly value: T } | { readonly kind: 'failed'; readonly error: unknown }

/** One item of a batch: a JSON object that is still open, so that a reference can be added. Fresh bytes, to be wiped after use. */
export type ItemHead = Uint8Array

/** A batch that is ready to be sent. */
export interface BatchRequest {
  /** Fresh bytes for the caller to wipe. */
  readonly body: Uint8Array
  /** One for each item; no other batch has them. */
  readonly references: readonly string[]
}

const BATCH_START = '{"batch_input":['
/** An item that fails must not take its neighbours with it. OpenBao heeds this unless all items fail: then the status is 400. */
const BATCH_END = '],"partial_failure_response_code":200}'
const PLAINTEXT_START = '{"plaintext":"'
const REFERENCE_START = ',"reference":"'
const REFERENCE_END = '"}'
const BACKSLASH = 0x5c
const QUOTE = 0x22

/** The head of an item to encrypt by one version of the key. */
export function encryptItem(plaintext: Secret, associatedData: Uint8Array, keyVersion: number): ItemHead {
  const start = PLAINTEXT_START
  const end = `","associated_data":"${base64(associatedData)}","key_version":${keyVersion}`
  const base64Bytes = base64Length(plaintext.byteLength)
  const head = allocateKeyBytes(start.length + base64Bytes + end.length)
  putAscii(head, 0, start)
  plaintext.reveal(bytes => {
    encodeBase64Into(bytes, head.subarray(start.length, start.length + base64Bytes))
  })
  putAscii(head, start.length + base64Bytes, end)
  return head
}

/** What the items to encrypt hold, for no message to show. The caller wipes it. A ciphertext is no secret. */
export function plaintextsIn(heads: readonly ItemHead[]): readonly Secret[] {
  const from = PLAINTEXT_START.length
  return heads
    .filter(head => asciiText(head, { start: 0, end: from }) === PLAINTEXT_START)
    .map(head => decodeBase64(head.subarray(from, head.indexOf(QUOTE, from))))
}

/** The head of an item to decrypt. */
export function decryptItem(ciphertext: TransitCiphertext, associatedData: Uint8Array): ItemHead {
  const text = `{"ciphertext":"${ciphertext.text}","associated_data":"${base64(associatedData)}"`
  const head = allocateKeyBytes(text.length)
  putAscii(head, 0, text)
  return head
}

/** Names batches, so that no item has the reference of another one: random for a series, then counted. */
export type NextBatchName = () => string

export function batchNames(): NextBatchName {
  const series = randomBytes(REFERENCE_RANDOM_BYTES).toString('hex')
  let count = 0
  return () => `${series}-${(count += 1)}`
}

/** Joins items into one body, each with a reference of its own. */
export function encodeBatch(heads: readonly ItemHead[], name: string): BatchRequest {
  const references = heads.map((_, index) => `${name}-${index}`)
  const tails = references.map(
    (reference, index) =>
      `${REFERENCE_START}${reference}${REFERENCE_END}${index === references.length - 1 ? BATCH_END : ','}`,
  )
  const headBytes = heads.reduce((sum, head) => sum + head.byteLength, 0)
  const tailBytes = tails.reduce((sum, tail) => sum + tail.length, 0)
  const body = allocateKeyBytes(BATCH_START.length + headBytes + tailBytes)
  let at = putAscii(body, 0, BATCH_START)
  for (const [index, head] of heads.entries()) {
    body.set(head, at)
    at = putAscii(body, at + head.byteLength, tails[index] ?? '')
  }
  return { body, references }
}

/** What an item that did not fail holds, and what becomes of it. */
export type ReadItem<T> = (answer: Answer, item: SecretJson, index: number) => T

export interface ReadOptions<T> {
  readonly read: ReadItem<T>
  readonly discard: (value: T) => void
  /** The token, and what was encrypted: a text that repeats any of it, or any plaintext of the answer, is not quoted. Asked for if an item failed. */
  readonly secrets: () => readonly Secret[]
}

/**
 * Reads the answer to a batch, and wipes its body, whatever happens.
 *
 * @returns what became of each item, in the order of the references.
 * @throws {@link OpenBaoError} `OPENBAO_RESPONSE_MALFORMED` if there are more or fewer results than items, if any of them has another
 *   reference than the item in its place, or if any cannot be read: then none of them can be trusted. `OPENBAO_BAD_REQUEST` for a status of
 *   400 without results.
 */
export function parseBatch<T>(
  answer: Answer,
  references: readonly string[],
  { read, discard, secrets }: ReadOptions<T>,
): readonly Outcome<T>[] {
  const { body, request } = answer
  const outcomes: Outcome<T>[] = []
  const given: Secret[] = []
  try {
    const data = memberOf(parseSecretJson(body, request), 'data')
    const results = data === undefined ? undefined : memberOf(data, 'batch_results')
    if (results === undefined && answer.status === 400) throw statusError(answer)
    if (results?.kind !== 'array' || results.items.length !== references.length) {
      throw malformedField(request, 'data.batch_results')
    }
    // All of them before the first value is read: one that is out of place shows that the order is not ours.
    for (const [index, item] of results.items.entries()) assertReference(answer, item, references[index])
    const hidden: Secret[] = []
    if (results.items.some(item => memberOf(item, 'error') !== undefined)) {
      for (const item of results.items) given.push(...givenPlaintext(answer, item))
      hidden.push(...secrets(), ...given)
    }
    const failed = failedItem(answer, hidden)
    for (const [index, item] of results.items.entries()) {
      const said = memberOf(item, 'error')
      // A decryption that failed has an empty plaintext beside its error.
      if (said === undefined) outcomes.push({ kind: 'done', value: read(answer, item, index) })
      else outcomes.push({ kind: 'failed', error: failed(said) })
    }
    return outcomes
  } catch (error) {
    for (const outcome of outcomes) if (outcome.kind === 'done') discard(outcome.value)
    throw error
  } finally {
    body.fill(0)
    for (const secret of given) secret.wipe()
  }
}

/** Reads an item of an encryption. The ciphertext must be by the version that was asked for. */
export function readEncrypted({ body, request }: Answer, item: SecretJson, keyVersion: number): TransitCiphertext {
  const text = memberOf(item, 'ciphertext')
  const ciphertext = text?.kind === 'string' ? parseCiphertext(asciiText(body, text)) : null
  if (ciphertext?.keyVersion !== keyVersion) throw malformedField(request, 'ciphertext')
  if (countOf({ body, request }, memberOf(item, 'key_version'), 'key_version') !== keyVersion) {
    throw malformedField(request, 'key_version')
  }
  return ciphertext
}

/** Reads an item of a decryption. The caller owns, and wipes, the result. */
export function readDecrypted(answer: Answer, item: SecretJson): Secret {
  const text = memberOf(item, 'plaintext')
  if (text?.kind !== 'string') throw malformedField(answer.request, 'plaintext')
  const base64Bytes = answer.body.subarray(text.start, text.end)
  try {
    // Base64 needs no escapes: it is read where it lies, but for one who writes them all the same.
    if (!base64Bytes.includes(BACKSLASH)) return decodeBase64(base64Bytes)
    using unescaped = secretText(answer.body, text, answer.request)
    return unescaped.reveal(decodeBase64)
  } catch (error) {
    if (error instanceof SecretError) throw malformedField(answer.request, 'plaintext')
    throw error
  }
}

/** So many that no two series are the same, and nobody guesses one. */
const REFERENCE_RANDOM_BYTES = 12

function assertReference({ body, request }: Answer, item: SecretJson, reference: string | undefined): void {
  const said = memberOf(item, 'reference')
  if (said?.kind !== 'string' || asciiText(body, said) !== reference) throw malformedField(request, 'reference')
}

/** What an item holds as its plaintext, whether it failed or not, and however it is written. */
function givenPlaintext(answer: Answer, item: SecretJson): readonly Secret[] {
  const text = memberOf(item, 'plaintext')
  if (text?.kind !== 'string' || text.start === text.end) return []
  try {
    return [readDecrypted(answer, item)]
  } catch (error) {
    if (!(error instanceof OpenBaoError)) throw error
    return [secretText(answer.body, text, answer.request)]
  }
}

/** Makes the error of an item out of the text that stands for it. */
function failedItem({ body, request, status }: Answer, secrets: readonly Secret[]): (said: SecretJson) => OpenBaoError {
  return said => {
    if (said.kind !== 'string' || said.start === said.end) throw malformedField(request, 'error')
    const words = quoteFrom(body, said, secrets)
    return new OpenBaoError('OPENBAO_BAD_REQUEST', `${request}: ${words}`, { status, serverErrors: [words] })
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

/** Text that is no secret. */
function asciiText(body: Uint8Array, { start, end }: { readonly start: number; readonly end: number }): string {
  return Buffer.from(body.buffer, body.byteOffset + start, end - start).toString('latin1')
}

/** @returns the place behind it. */
function putAscii(target: Uint8Array, at: number, text: string): number {
  return at + Buffer.from(target.buffer, target.byteOffset, target.byteLength).write(text, at, 'latin1')
}
