import { createSecretKey } from 'node:crypto'
import { readVectors } from '@sealwright/testing-vectors'
import { checkCheckpoint, encodeCheckpoint } from './checkpoint.ts'
import { type Detail } from './detail.ts'
import { decodeLine, encodeEvent } from './line.ts'

const bytesOf = (line: string): Uint8Array => Buffer.from(line, 'latin1')

describe('line vectors', () => {
  const vectors = readVectors('audit-log', 'lines.json', {
    sequence: 'number',
    previousHash: 'text',
    timeMs: 'number',
    node: 'text',
    kind: 'text',
    detail: 'json',
    line: 'text',
    hash: 'text',
    key: 'hex?',
  })

  it.each(vectors)('$name', ({ sequence, previousHash, timeMs, node, kind, line, hash, key, ...vector }) => {
    const detail = vector.detail as Detail // what the vectors say; `decodeLine` checks it below
    const before = { sequence: sequence - 1, hash: previousHash }
    expect(encodeEvent({ kind, detail }, before, { timeMs, node })).toEqual({ text: `${line}\n`, sequence, hash })
    const decoded = decodeLine(bytesOf(line))
    if (decoded.kind === 'flawed') throw new Error(decoded.flaw)
    expect(decoded.line).toEqual({ sequence, hash, previousHash, timeMs, node, kind, detail })
    if (key === undefined) return
    const keyObject = createSecretKey(key)
    expect(checkCheckpoint(decoded.line, () => keyObject)).toBe('genuine')
    const keyId = String(detail.keyId)
    expect(encodeCheckpoint({ keyId, key: keyObject }, before, { timeMs, node }).text).toBe(`${line}\n`)
  })
})

describe('vectors of what is no line', () => {
  it.each(readVectors('audit-log', 'refused.json', { line: 'text', flaw: 'text' }))('$name', ({ line, flaw }) => {
    expect(decodeLine(bytesOf(line))).toEqual({ kind: 'flawed', flaw })
  })
})
