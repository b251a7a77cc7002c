import { randomBytes } from 'node:crypto'
import { call, clientFor, closeAll, failureOf, whole } from './testing/raw-server.ts'

/** Of the largest keyring that can ride in a blob, in bytes. */
const MAX_KEYRING_BYTES = 851_968

afterEach(closeAll)

function answering(challenge: unknown) {
  return clientFor(whole('200 OK', JSON.stringify({ data: { challenge } })))
}

describe('a challenge of the raft leader', () => {
  it('is asked for under the name of the caller', async () => {
    const [bao, raw] = await answering('AQID')
    expect(await bao.raftChallenge('a "name"', call())).toEqual(Uint8Array.of(1, 2, 3))
    const [request = ''] = raw.requests
    expect(request).toMatch(/^POST \/v1\/sys\/storage\/raft\/bootstrap\/challenge /)
    expect(request.endsWith('{"server_id":"a \\"name\\""}')).toBe(true)
  })

  it('is given byte for byte, also with the largest keyring beside it', async () => {
    const bytes = Uint8Array.from(randomBytes(MAX_KEYRING_BYTES + 1_000))
    const [bao] = await answering(Buffer.from(bytes).toString('base64'))
    expect(Buffer.compare(await bao.raftChallenge('a', call()), bytes)).toBe(0)
  })

  it.each([
    ['is empty', ''],
    ['is no base64', 'AQ!D'],
    ['has another alphabet', '-_-_'],
    ['lacks its padding', 'AQI'],
    ['has a line break', 'AQID\n'],
    ['has bits left over', 'AQJ='],
    ['is a number', 7],
    ['is null', null],
    ['is missing', undefined],
  ])('is refused if it %s', async (_, challenge) => {
    const [bao] = await answering(challenge)
    expect((await failureOf(bao.raftChallenge('a', call()))).code).toBe('OPENBAO_RESPONSE_MALFORMED')
  })

  it.each([
    ['no object around it', '["AQID"]', 'OPENBAO_RESPONSE_MALFORMED'],
    ['data that is no object', '{"data":"AQID"}', 'OPENBAO_RESPONSE_MALFORMED'],
    ['a cut answer', '{"data":{"challenge":"AQID"', 'OPENBAO_RESPONSE_MALFORMED'],
  ])('is refused with %s', async (_, body, code) => {
    const [bao] = await clientFor(whole('200 OK', body))
    expect((await failureOf(bao.raftChallenge('a', call()))).code).toBe(code)
  })

  it.each([
    ['503 X', '{"errors":["Vault is sealed"]}', 'OPENBAO_SEALED'],
    ['403 X', '{"errors":["permission denied"]}', 'OPENBAO_PERMISSION_DENIED'],
    ['500 X', '{"errors":["no raft storage"]}', 'OPENBAO_STATUS'],
    ['204 X', '', 'OPENBAO_STATUS'],
  ])('fails by its status: %s', async (status, body, code) => {
    const [bao] = await clientFor(whole(status, body))
    expect((await failureOf(bao.raftChallenge('a', call()))).code).toBe(code)
  })
})
