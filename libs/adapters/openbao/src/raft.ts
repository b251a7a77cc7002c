import { OpenBaoError } from './error.ts'
import { field, parseJsonObject, readObject, readString } from './json.ts'
import { type Answer } from './transport.ts'

/** A name that the leader keeps the newest challenge under; no secret, and none of its servers. */
export function raftChallengeBody(serverId: string): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ server_id: serverId }))
}

/**
 * Reads an answer of `sys/storage/raft/bootstrap/challenge`: what the leader's seal has just encrypted.
 *
 * @returns A blob as OpenBao stores it: the serialised `BlobInfo` of the seal plugin.
 */
export function parseRaftChallenge({ body, request }: Answer): Uint8Array {
  const place = { request, path: '' }
  const data = field(parseJsonObject(body, request), 'data', readObject, place)
  const challenge = field(data, 'challenge', readString, { request, path: 'data' })
  const bytes = Buffer.from(challenge, 'base64')
  // Buffer.from drops what is no base64 and says nothing.
  if (bytes.length > 0 && bytes.toString('base64') === challenge) return Uint8Array.from(bytes)
  throw new OpenBaoError('OPENBAO_RESPONSE_MALFORMED', `${request}: field "data.challenge" is not base64`)
}
