import { statusOfCode } from './index.ts'

describe('the status of an error code', () => {
  it.each([
    ['CONTROL_REQUEST_INVALID', 400],
    ['CONTROL_REQUEST_SLOW', 408],
    ['CONTROL_BODY_TOO_LARGE', 413],
    ['CONTROL_CONTENT_TYPE', 415],
    ['CONTROL_PATH_UNKNOWN', 404],
    ['CONTROL_METHOD_UNKNOWN', 405],
    ['CONTROL_SEAL_UNKNOWN', 404],
    ['CONTROL_INTERNAL', 500],
    ['SHAMIR_SHARE_WRONG', 400],
    ['SHAMIR_SHARE_REPEATED', 409],
    ['SHAMIR_NONCE_MISMATCH', 409],
    ['RAFT_SNAPSHOT_TRUNCATED', 400],
    ['STORE_CHANGED', 409],
    ['CONFIG_INVALID', 409],
    ['CONFIG_UNREADABLE', 409],
    ['PKCS11_PIN_WRONG', 503],
    ['TRANSIT_TIMEOUT', 503],
  ])('%s is %d', (code, status) => {
    expect(statusOfCode(code)).toBe(status)
  })

  it('is none for a code whose message is not for callers', () => {
    for (const code of ['EACCES', 'ENVELOPE_AUTH_FAILED', 'ERR_INVALID_ARG_TYPE', 'toString', '__proto__', 'TPM', '']) {
      expect([code, statusOfCode(code)]).toEqual([code, undefined])
    }
  })
})
