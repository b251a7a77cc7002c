import { createHmac, createSecretKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { type ChainPosition } from './chain.ts'
import { assertCheckpointKey, checkCheckpoint, encodeCheckpoint } from './checkpoint.ts'
import { AuditError } from './errors.ts'
import { type AuditLine, decodeLine, encodeEvent } from './line.ts'
import { checkEvent } from './detail.ts'

const occasion = { timeMs: 1_763_810_040_123, node: 'node-1' }
const before: ChainPosition = { sequence: 41, hash: 'cd'.repeat(32) }
const key = createSecretKey(Buffer.alloc(32, 7))
const checkpointKey = { keyId: 'k1', key }

function lineOf(text: string): AuditLine {
  const decoded = decodeLine(Buffer.from(text.slice(0, -1), 'latin1'))
  if (decoded.kind === 'flawed') throw new Error(decoded.flaw)
  return decoded.line
}

const genuine = lineOf(encodeCheckpoint(checkpointKey, before, occasion).text)
const findKey = (keyId: string): KeyObject | undefined => (keyId === 'k1' ? key : undefined)

/** The same line with other details or another place, its hash made anew. */
function rewritten(change: Partial<AuditLine>): AuditLine {
  const line = { ...genuine, ...change }
  const position = { sequence: line.sequence - 1, hash: line.previousHash }
  return lineOf(encodeEvent({ kind: line.kind, detail: line.detail }, position, line).text)
}

describe('a checkpoint', () => {
  it('is genuine under its key, and unchecked without it', () => {
    expect(checkCheckpoint(genuine, findKey)).toBe('genuine')
    expect(checkCheckpoint(genuine, () => undefined)).toBe('unchecked')
  })

  it('carries HMAC-SHA-256 over all that stands before it in its line', () => {
    const { text } = encodeCheckpoint(checkpointKey, before, occasion)
    const covered = text.slice(0, text.indexOf('"mac":"') + '"mac":"'.length)
    const label = 'sealwright audit-log v1 checkpoint'
    const lengthOf = (part: string): Buffer => {
      const bytes = Buffer.alloc(4)
      bytes.writeUInt32BE(part.length)
      return bytes
    }
    const mac = createHmac('sha256', Buffer.alloc(32, 7))
      .update(Buffer.concat([lengthOf(label), Buffer.from(label), lengthOf(covered), Buffer.from(covered)]))
      .digest('hex')
    expect(genuine.detail).toEqual({ keyId: 'k1', mac })
  })

  it.each<readonly [string, Partial<AuditLine>]>([
    ['another past', { previousHash: 'ce'.repeat(32) }],
    ['another number', { sequence: 43 }],
    ['another time', { timeMs: occasion.timeMs + 1 }],
    ['another node', { node: 'node-2' }],
    ['another MAC', { detail: { keyId: 'k1', mac: '00'.repeat(32) } }],
    ['a MAC that is none', { detail: { keyId: 'k1', mac: '' } }],
  ])('is forged with %s, however well its hash was made anew', (_what, change) => {
    expect(checkCheckpoint(rewritten(change), findKey)).toBe('forged')
  })

  it('is forged under another key of the same name', () => {
    const other = createSecretKey(Buffer.alloc(32, 8))
    expect(checkCheckpoint(genuine, () => other)).toBe('forged')
  })

  it('is no line of another kind', () => {
    const event = checkEvent({ kind: 'agent-stopped', reason: 'SIGTERM' })
    expect(checkCheckpoint(lineOf(encodeEvent(event, before, occasion).text), findKey)).toBeUndefined()
  })

  it.each<readonly [string, { keyId: string; key: KeyObject }]>([
    ['a key of 31 bytes', { keyId: 'k1', key: createSecretKey(Buffer.alloc(31)) }],
    ['a public key', { keyId: 'k1', key: generateKeyPairSync('ed25519').publicKey }],
    ['an empty id', { keyId: '', key }],
    ['an id with a space', { keyId: 'k 1', key }],
    ['an id of 65 characters', { keyId: 'k'.repeat(65), key }],
  ])('is not made with %s: AUDIT_CHECKPOINT_KEY_INVALID', (_what, unusable) => {
    const codes = [encodeCheckpoint, assertCheckpointKey].map(use => {
      try {
        use(unusable, before, occasion)
        return 'none'
      } catch (error) {
        return error instanceof AuditError ? error.code : 'another error'
      }
    })
    expect(codes).toEqual(['AUDIT_CHECKPOINT_KEY_INVALID', 'AUDIT_CHECKPOINT_KEY_INVALID'])
  })
})
