import { joinBytes } from '@sealwright/bytes'
import { type Secret } from '@sealwright/secret'
import { OpenBaoError } from './error.ts'
import { statusError } from './failure.ts'
import { field, parseJsonObject, readCount, readObject } from './json.ts'
import { countOf, memberOf, objectMember } from './secret-fields.ts'
import { encodeSecretObject, parseSecretJson, secretText } from './secret-json.ts'
import { type Answer } from './transport.ts'

/** A place in a kv version 2 engine. */
export interface KvPath {
  /** Where the engine is mounted, without slashes around it. */
  readonly mount: string
  /** Name below it; slashes make folders. */
  readonly path: string
}

/** One version of a secret. The caller owns, and wipes, all of it. */
export interface KvSecret {
  readonly version: number
  /** The text values by name. Values of other types are left out. */
  readonly data: ReadonlyMap<string, Secret>
}

/**
 * A path for a URL, each part encoded.
 *
 * @throws {@link OpenBaoError} `OPENBAO_REQUEST_INVALID` for empty parts, and for `.` and `..`, which URLs resolve.
 */
export function encodePath(path: string): string {
  const parts = path.split('/')
  if (parts.some(part => part === '' || part === '.' || part === '..' || !part.isWellFormed())) {
    throw new OpenBaoError('OPENBAO_REQUEST_INVALID', `${JSON.stringify(path)} is not a path we can ask for`)
  }
  return parts.map(encodeURIComponent).join('/')
}

/** A path without slashes around it: OpenBao's own configuration and lists write mounts with one at the end. */
export function withoutSlashes(path: string): string {
  return path.replace(/^\/+|\/+$/g, '')
}

/** `data` endpoint of a kv version 2 secret. */
export function kvDataPath({ mount, path }: KvPath): string {
  return `${encodePath(mount)}/data/${encodePath(path)}`
}

/** Body of a kv version 2 write. Fresh bytes for the caller to wipe. */
export function kvPutBody(data: Readonly<Record<string, Secret>>): Uint8Array {
  const inner = encodeSecretObject(data)
  const body = joinBytes([new TextEncoder().encode('{"data":'), inner, new TextEncoder().encode('}')])
  inner.fill(0)
  return body
}

/** Reads the number of the version that a kv version 2 write made. */
export function parseKvVersion({ body, request }: Answer): number {
  const data = field(parseJsonObject(body, request), 'data', readObject, { request, path: '' })
  return field(data, 'version', readCount, { request, path: 'data' })
}

/**
 * A 404 without a text: nothing at this path, or its newest version was deleted.
 *
 * @throws {@link OpenBaoError} `OPENBAO_NOT_FOUND` for a 404 with a text: no engine is mounted there.
 */
export function parseKvAbsent(answer: Answer): null {
  if (answer.serverErrors.length > 0) throw statusError(answer)
  return null
}

/** Reads the answer of a kv version 2 read and wipes the body, whatever happens. */
export function parseKvSecret(answer: Answer): KvSecret {
  const { body, request } = answer
  try {
    const outer = objectMember(parseSecretJson(body, request), 'data', request)
    const version = memberOf(objectMember(outer, 'metadata', request), 'version')
    const texts = new Map<string, Secret>()
    for (const [name, value] of objectMember(outer, 'data', request).members) {
      if (value.kind === 'string') texts.set(name, secretText(body, value, request))
    }
    return { version: countOf(answer, version, 'data.metadata.version'), data: texts }
  } finally {
    body.fill(0)
  }
}
