import { grpcStatusOf, KmsError, type KmsErrorCode, KmsStateError } from './errors.ts'

describe('what a failure becomes for kube-apiserver', () => {
  it.each<readonly [KmsErrorCode, string]>([
    ['KMS_REQUEST_INVALID', 'INVALID_ARGUMENT'],
    ['KMS_KEY_ID_UNKNOWN', 'INVALID_ARGUMENT'],
    ['KMS_CIPHERTEXT_REFUSED', 'INVALID_ARGUMENT'],
    ['KMS_VERSION_RETIRED', 'FAILED_PRECONDITION'],
    ['KMS_KEY_GONE', 'FAILED_PRECONDITION'],
    ['KMS_BACKEND_UNAVAILABLE', 'UNAVAILABLE'],
    ['KMS_BACKEND_REFUSED', 'UNAVAILABLE'],
    ['KMS_BACKEND_BROKEN', 'INTERNAL'],
    ['KMS_DEADLINE_EXCEEDED', 'DEADLINE_EXCEEDED'],
    ['KMS_CANCELLED', 'CANCELLED'],
    ['KMS_NOT_READY', 'UNAVAILABLE'],
    ['KMS_STOPPING', 'UNAVAILABLE'],
  ])('%s is %s', (code, status) => {
    expect(grpcStatusOf(new KmsError(code, 'words'))).toBe(status)
  })

  it.each([new Error('a bug'), new KmsStateError('KMS_STATE_MALFORMED', 'words'), 'KMS_CANCELLED', undefined, null])(
    'what is none of ours is INTERNAL: %p',
    error => {
      expect(grpcStatusOf(error)).toBe('INTERNAL')
    },
  )
})

describe('an error of this library', () => {
  it('keeps its cause for our own log', () => {
    const cause = new Error('connect ECONNREFUSED')
    const error = new KmsError('KMS_BACKEND_UNAVAILABLE', 'it is down', { cause })
    expect(error).toMatchObject({ name: 'KmsError', code: 'KMS_BACKEND_UNAVAILABLE', message: 'it is down', cause })
    expect(new KmsStateError('KMS_STATE_FROM_FUTURE', 'words', { cause })).toMatchObject({
      name: 'KmsStateError',
      cause,
    })
  })
})
