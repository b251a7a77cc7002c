import { KmsError } from '@sealwright/kms-v2'
import { TransitError, type TransitErrorCode } from '@sealwright/openbao'
import { kmsErrorOf } from './transit-failure.ts'

describe('a failure of the transit engine', () => {
  it.each<readonly [TransitErrorCode, string, RegExp]>([
    ['TRANSIT_SEALED', 'KMS_BACKEND_UNAVAILABLE', /ends by itself/],
    ['TRANSIT_TIMEOUT', 'KMS_DEADLINE_EXCEEDED', /did not answer in time/],
    ['TRANSIT_DENIED', 'KMS_BACKEND_REFUSED', /login, policy or certificates, sealctl kms doctor/],
    ['TRANSIT_KEY_MISSING', 'KMS_KEY_GONE', /restore it in OpenBao/],
    ['TRANSIT_KEY_VERSION', 'KMS_VERSION_RETIRED', /min_decryption_version/],
    ['TRANSIT_CIPHERTEXT_REFUSED', 'KMS_CIPHERTEXT_REFUSED', /encrypted by another key, or changed/],
    ['TRANSIT_VERSION_TOO_NEW', 'KMS_BACKEND_UNAVAILABLE', /a server that lags behind will soon/],
    ['TRANSIT_RESPONSE_MALFORMED', 'KMS_BACKEND_BROKEN', /an answer that cannot be/],
  ])('%s is %s, in words that name no address and no key', (code, kmsCode, words) => {
    const failure = new TransitError(code, 'the OpenBao at https://10.0.0.1:8200: transit/keys/kubernetes')
    const error = kmsErrorOf(failure)
    expect(error).toBeInstanceOf(KmsError)
    expect(error).toMatchObject({ code: kmsCode, cause: failure, message: expect.stringMatching(words) as unknown })
    expect((error as KmsError).message).not.toMatch(/10\.0\.0\.1|kubernetes/)
  })

  it('that is none, such as a bug, stays what it is', () => {
    const bug = new TypeError('a bug')
    expect(kmsErrorOf(bug)).toBe(bug)
  })
})
