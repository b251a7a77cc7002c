import { type ServerResponse } from 'node:http'
import {
  BYTES_TYPE,
  encodeFacts,
  FACTS_HEADER,
  JSON_TYPE,
  joinSecretLines,
  type Operation,
} from '@sealwright/control-api'
import { type Secret } from '@sealwright/secret'

const OK = 200
const NO_CONTENT = 204

/** What is sent: fastify takes text and bytes as they are. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Buffer | undefined
}

/** An answer of a handler as it goes over the wire. `response` tells when bytes that are secret may be wiped. */
export function encodeAnswer(operation: Operation, answered: unknown, response: ServerResponse): Answer {
  const { answer } = operation
  switch (answer.kind) {
    case 'json': {
      const isOther = operation.path === '/readyz' && !(answered as { readonly ready: boolean }).ready
      return json(isOther ? (answer.otherStatus ?? OK) : OK, answered)
    }
    case 'text': {
      const { contentType, text } = answered as { readonly contentType: string; readonly text: string }
      return { status: OK, headers: { 'content-type': contentType }, body: text }
    }
    case 'bytes': {
      const { bytes, facts } = answered as { readonly bytes: Uint8Array; readonly facts: unknown }
      return { status: OK, headers: bytesHeaders(facts), body: bufferOf(bytes) }
    }
    case 'secrets': {
      const { secrets, facts } = answered as { readonly secrets: readonly Secret[]; readonly facts: unknown }
      const body = joinSecretLines(secrets)
      for (const secret of secrets) secret.wipe()
      const wipe = (): void => {
        body.fill(0)
      }
      // A caller that is gone already gets nothing, and closes nothing any more.
      if (response.closed) wipe()
      else response.once('close', wipe)
      return { status: OK, headers: bytesHeaders(facts), body: bufferOf(body) }
    }
    case 'nothing':
      return { status: NO_CONTENT, headers: {}, body: undefined }
  }
}

export function json(status: number, value: unknown): Answer {
  return { status, headers: { 'content-type': `${JSON_TYPE}; charset=utf-8` }, body: JSON.stringify(value) }
}

function bytesHeaders(facts: unknown): Readonly<Record<string, string>> {
  // Shares and keyrings have no business in the cache of a proxy, should somebody put one before the socket.
  const headers = { 'content-type': BYTES_TYPE, 'cache-control': 'no-store' }
  return facts === undefined ? headers : { ...headers, [FACTS_HEADER]: encodeFacts(facts) }
}

/** A view, not a copy: what is wiped is what was sent. */
function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
