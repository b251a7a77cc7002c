import { type OpenBaoView } from '@sealwright/control-api'
import { keyNeedOf } from './key-need.ts'

const answered = { address: 'http://127.0.0.1:8200', version: '2.7.2' }
const failed = { state: 'unreachable', address: answered.address, message: 'text' } as const

describe('what an OpenBao needs that takes its key from a file', () => {
  it.each<[string, OpenBaoView | undefined]>([
    ['key', { state: 'sealed', ...answered }],
    ['key', { state: 'uninitialised', ...answered }],
    ['key', { ...failed, code: 'OPENBAO_UNREACHABLE' }],
    ['nothing', { state: 'active', ...answered }],
    ['nothing', { state: 'standby', ...answered }],
    ['unknown', { ...failed, code: 'OPENBAO_TIMEOUT' }],
    ['unknown', { ...failed, code: 'OPENBAO_CONNECTION_CUT' }],
    ['unknown', { state: 'not-configured' }],
    ['unknown', undefined],
  ])('is %s for %j', (need, view) => {
    expect(keyNeedOf(view)).toBe(need)
  })
})
