import { storedKeyId } from './index.ts'

const KEY_ID = `sealwright.v1.${'k'.repeat(43)}`

describe('storedKeyId', () => {
  it.each([
    ['a Secret that our provider encrypted', `k8s:enc:kms:v2:sealwright:\n\x04data\x12\x39${KEY_ID}\x1a`, KEY_ID],
    ["another provider's", `k8s:enc:kms:v2:other:\n\x04data\x12\x39${KEY_ID}\x1a`, null],
    ['one in clear that speaks of a key id', `k8s\0 ${KEY_ID}`, null],
    ['one of our provider without our kind of key id', 'k8s:enc:kms:v2:sealwright:\n\x01a\x12\x01k', null],
  ])('of %s', (_what, stored, keyId) => {
    expect(storedKeyId(Buffer.from(stored, 'latin1'))).toBe(keyId)
  })
})
