import { OpenBaoError } from '../error.ts'
import { type Answer } from '../transport.ts'
import { parseKeyVersions } from './messages.ts'

const DATA = {
  type: 'aes256-gcm96',
  latest_version: 3,
  min_decryption_version: 2,
  min_encryption_version: 0,
  min_available_version: 1,
  keys: { '1': 1_700_000_000, '3': 1_700_000_200, '2': 1_700_000_100 },
}

const answerOf = (data: unknown): Answer => ({
  status: 200,
  request: 'GET transit/keys/k',
  serverErrors: [],
  body: new TextEncoder().encode(JSON.stringify({ data })),
})

function codeOf(data: unknown): string {
  try {
    parseKeyVersions(answerOf(data))
  } catch (error) {
    if (error instanceof OpenBaoError) return error.code
    throw error
  }
  return 'none'
}

describe('what a key says of its versions', () => {
  it('is read with all that it has, in milliseconds', () => {
    expect(parseKeyVersions(answerOf({ ...DATA, new_field: 1 }))).toEqual({
      type: 'aes256-gcm96',
      ...{ latestVersion: 3, minDecryptionVersion: 2, minEncryptionVersion: 0, minAvailableVersion: 1 },
      ...{ derived: false, softDeleted: false, exportable: false, deletionAllowed: false },
      versions: new Map([
        [1, 1_700_000_000_000],
        [2, 1_700_000_100_000],
        [3, 1_700_000_200_000],
      ]),
    })
  })

  it.each<[string, object]>([
    ['no versions', { keys: undefined }],
    ['versions that are a list', { keys: [1, 2, 3] }],
    ['a version that is no number', { keys: { ...DATA.keys, x: 1 } }],
    ['a version of zero', { keys: { ...DATA.keys, '0': 1 } }],
    ['a version in another spelling', { keys: { ...DATA.keys, '01': 1 } }],
    ['a version without a time, as of a public key', { keys: { '3': { creation_time: 'x' } } }],
    ['a time that is no whole number', { keys: { '3': 1.5 } }],
    ['no newest version', { keys: { '1': 1, '2': 2 } }],
    ['no number of the newest version', { latest_version: '3' }],
    ['no limit for encryption', { min_encryption_version: undefined }],
    ['a limit below zero', { min_available_version: -1 }],
  ])('is refused with %s', (_, change) => {
    expect(codeOf({ ...DATA, ...change })).toBe('OPENBAO_RESPONSE_MALFORMED')
  })
})
