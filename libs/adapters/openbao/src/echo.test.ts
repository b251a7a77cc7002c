import { Secret } from '@sealwright/secret'
import { printsOf, spellingsOf } from '@sealwright/testing-checks'
import { waitUntil } from '@sealwright/testing-rig'
import { type OpenBaoError } from './error.ts'
import { batchAnswer, goodResults, type SentItem, type SentResult, serveTransit } from './testing/fake-transit.ts'
import { clientFor, closeAll, type RawAnswer, serveRaw, whole } from './testing/raw-server.ts'
import { reads, secretOf } from './testing/second-openbao.ts'
import { openTransit, type TransitAccess } from './transit/transit-access.ts'
import { openTransitPool, type TransitPool } from './transit-pool/transit-pool.ts'

const TOKEN = 's.Gf8pLr2WmXz0QkYtVbN4cJd7'
/** Of all kinds: letters, control characters, half a rune; with both signs in its base64. */
const KEY = Uint8Array.from({ length: 32 }, (_, index) => (index * 73 + 251) & 0xff)
const OTHER_KEYS = Array.from({ length: 5 }, (_, salt) =>
  KEY.map((byte, index) => (byte * 31 + index * salt + salt) & 0xff),
)
const SECRETS = [Buffer.from(TOKEN), Buffer.from(KEY), ...OTHER_KEYS.map(key => Buffer.from(key))]
const signal = new AbortController().signal
const call = { signal, associatedData: Uint8Array.of(1, 2, 3) }

/**
 * The first characters of each secret, and of its base64, in each spelling; from each of its first bytes, since the base64 of what surrounds
 * it begins anywhere.
 */
const PIECES: readonly string[] = SECRETS.flatMap(bytes => [bytes, Buffer.from(bytes.toString('base64'))])
  .flatMap(bytes => [0, 1, 2].flatMap(from => spellingsOf(bytes.subarray(from))))
  .map(text => text.replace(/\s+/g, ' ').slice(0, 12))

const opened: (TransitPool | TransitAccess)[] = []

afterEach(async () => {
  await Promise.all(
    opened.splice(0).map(async each => {
      await each.close()
    }),
  )
  await closeAll()
})

/** Ways to repeat what came in. */
const ECHOES: readonly (readonly [string, (text: string) => string])[] = [
  ['as it came', text => text],
  ['as JSON', text => JSON.stringify(text)],
  ['for an address', text => encodeURIComponent(text)],
  ['in hex', text => Buffer.from(text).toString('hex')],
  ['in hex with spaces', text => Buffer.from(text).toString('hex').replace(/../g, '$& ').toUpperCase()],
  ['in base64', text => Buffer.from(text).toString('base64')],
  ['in base64 for addresses', text => Buffer.from(text).toString('base64url')],
  ['in base64 without padding', text => Buffer.from(text).toString('base64').replace(/=+$/, '')],
  ['as numbers', text => [...Buffer.from(text)].join(' ')],
]

/** Keys as a server may have understood them. */
const KEY_ECHOES: readonly (readonly [string, (key: Uint8Array) => string])[] = [
  ['raw', key => Buffer.from(key).toString('latin1')],
  ['in hex', key => Buffer.from(key).toString('hex')],
  ['in base64 for addresses', key => Buffer.from(key).toString('base64url')],
  ['in base64 for an address', key => encodeURIComponent(Buffer.from(key).toString('base64'))],
  ['as numbers', key => JSON.stringify([...key])],
]

const tokenIn = (request: string): string => /^x-vault-token: (.*)$/im.exec(request)?.[1] ?? ''
const bodyOf = (request: string): string => request.slice(request.indexOf('\r\n\r\n') + 4)
const keysIn = (request: string): readonly Uint8Array[] =>
  [...request.matchAll(/"plaintext":"([^"]+)"/g)].map(([, base64 = '']) => Buffer.from(base64, 'base64'))

/** All that it can repeat, in one spelling each: what a body holds, a header, each item, and each key. */
function repeated(
  request: string,
  echo: (text: string) => string,
  keyEcho: (key: Uint8Array) => string,
): readonly string[] {
  return [
    `denied for ${echo(tokenIn(request))}`,
    `rejected: ${echo(bodyOf(request).slice(0, 200))}`,
    ...[...keysIn(request), KEY].slice(0, 2).map(key => `bad key ${keyEcho(key)}`),
  ]
}

function refusing(status: string, echo: (text: string) => string, keyEcho: (key: Uint8Array) => string): RawAnswer {
  return (socket, request) => {
    const token = tokenIn(request)
    const headers = `Retry-After: ${token}\r\nWWW-Authenticate: ${token}\r\nLocation: https://${token}@h/${token}\r\n`
    whole(status, JSON.stringify({ errors: repeated(request, echo, keyEcho) }), headers)(socket, request)
  }
}

/** The error, in no print of which any piece of the secrets stands. */
async function silentFailureOf(promise: Promise<unknown>): Promise<Error> {
  const error: unknown = await promise.then(
    () => undefined,
    (caught: unknown) => caught,
  )
  if (!(error instanceof Error)) throw new Error('it did not fail')
  expectSilent(error)
  return error
}

function expectSilent(error: unknown): void {
  const said = [error instanceof Error ? `${error.message} ${error.stack ?? ''}` : '', ...printsOf(error)].join('\n')
  expect(PIECES.filter(piece => said.includes(piece))).toEqual([])
  expect(said.toLowerCase()).not.toContain(TOKEN.toLowerCase())
}

function poolAt(address: string): TransitPool {
  const auth = { method: 'token', readToken: reads(TOKEN) } as const
  const pool = openTransitPool({ addresses: [address], keyName: 'k', auth })
  opened.push(pool)
  return pool
}

const secret = (bytes: Uint8Array): Secret => new Secret(Uint8Array.from(bytes))
const cipherOf = (key: Uint8Array) => ({ text: `vault:v1:${Buffer.from(key).toString('base64')}`, keyVersion: 1 })
const encrypt = async (pool: TransitPool, key = KEY): Promise<unknown> =>
  await pool.encrypt(secret(key), { ...call, keyVersion: 1 })

const STATUSES = ['201 X', '307 X', '400 X', '403 X', '404 X', '413 X', '500 X', '502 X', '503 X']

describe.each(ECHOES)('a server that repeats %s what it refuses', (_, echo) => {
  it.each(STATUSES)('with %s, is not quoted by a pool', async status => {
    const { address } = await serveRaw(refusing(status, echo, key => echo(Buffer.from(key).toString('base64'))))
    const pool = poolAt(address)
    await silentFailureOf(encrypt(pool))
    await silentFailureOf(pool.readKey(call))
    const many = await Promise.allSettled([KEY, ...OTHER_KEYS].map(async key => await encrypt(pool, key)))
    for (const outcome of many) expectSilent(outcome.status === 'rejected' ? outcome.reason : undefined)
    expect(many.every(outcome => outcome.status === 'rejected')).toBe(true)
  })

  it.each(STATUSES)('with %s, is not quoted by a member of a seal, nor by a client', async status => {
    const [bao, { address }] = await clientFor(refusing(status, echo, key => echo(Buffer.from(key).toString('base64'))))
    const access = openTransit({ address, keyName: 'k', auth: { method: 'token', readToken: reads(TOKEN) } })
    opened.push(access)
    await silentFailureOf(access.encrypt(secret(KEY), { ...call, keyVersion: 1 }))
    const authenticated = { signal, token: secretOf(TOKEN) }
    const failures = [
      await silentFailureOf(bao.kvPut({ mount: 'kv', path: 'a' }, { value: secretOf(TOKEN) }, authenticated)),
      await silentFailureOf(bao.kvGet({ mount: 'kv', path: 'a' }, authenticated)),
      await silentFailureOf(bao.autopilotState(authenticated)),
    ]
    expect(failures.map(({ name }) => name)).toEqual(Array<string>(3).fill('OpenBaoError'))
  })

  it.each(['400 X', '403 X', '500 X'])('with %s, is not quoted by a login', async status => {
    const { address } = await serveRaw((socket, request) => {
      const errors = [`you said ${echo(bodyOf(request))}`, 'no such role']
      whole(status, JSON.stringify({ errors }))(socket, request)
    })
    const auths = [
      { method: 'approle', readRoleId: reads('role-id-1'), readSecretId: reads(TOKEN) },
      { method: 'jwt', role: 'r', readJwt: reads(TOKEN) },
    ] as const
    for (const auth of auths) {
      const access = openTransit({ address, keyName: 'k', auth })
      opened.push(access)
      const { message } = await silentFailureOf(access.decrypt(cipherOf(KEY), call))
      expect(message).toContain('no such role')
    }
  })
})

describe.each(KEY_ECHOES)('a server that repeats a key %s', (_, keyEcho) => {
  it.each(['400 X', '500 X'])('with %s for the whole batch, is not quoted', async status => {
    const { address } = await serveRaw(refusing(status, () => '', keyEcho))
    await silentFailureOf(encrypt(poolAt(address)))
  })

  it.each(['400 X', '500 X'])('with %s to a member of a seal, is not quoted', async status => {
    const { address } = await serveRaw(refusing(status, () => '', keyEcho))
    const access = openTransit({ address, keyName: 'k', auth: { method: 'token', readToken: reads(TOKEN) } })
    opened.push(access)
    await silentFailureOf(access.encrypt(secret(KEY), { ...call, keyVersion: 1 }))
  })

  it.each(['200 OK', '400 X'])('with %s for an item, is not quoted', async status => {
    const node = await serveTransit(items => batchAnswer(items.map(failing(items, keyEcho)), status))
    const outcomes = await Promise.allSettled([KEY, ...OTHER_KEYS].map(async key => await encrypt(poolOf(node), key)))
    expect(outcomes.every(outcome => outcome.status === 'rejected')).toBe(true)
    for (const outcome of outcomes) expectSilent(outcome)
  })

  it('of another item that it encrypted, or of another half, is not quoted', async () => {
    const node = await serveTransit(items => {
      const errors = [KEY, ...OTHER_KEYS].slice(0, 4).map(key => `it was ${keyEcho(key)}`)
      return items.length > 1
        ? whole('400 X', JSON.stringify({ errors }))
        : batchAnswer(items.map(({ reference }) => ({ reference, error: errors.join(' ') })))
    })
    const pool = poolOf(node)
    const outcomes = await Promise.allSettled([KEY, ...OTHER_KEYS].map(async key => await encrypt(pool, key)))
    expect(node.batches.map(({ length }) => length)).toContain(1)
    expect(outcomes.map(outcome => outcome.status)).toEqual(Array<string>(6).fill('rejected'))
    for (const outcome of outcomes) expectSilent(outcome)
  })

  it('that it decrypted for another item, or beside the error, is not quoted', async () => {
    const node = await serveTransit(items =>
      goodResults(items).map((result, index) =>
        index % 2 === 0 ? result : { ...result, error: `mixed up ${keyEcho(KEY)}, ${keyEcho(keyOf(items[index]))}` },
      ),
    )
    const pool = poolOf(node)
    const keys = [KEY, ...OTHER_KEYS]
    const outcomes = await Promise.allSettled(keys.map(async key => await pool.decrypt(cipherOf(key), call)))
    expect(outcomes.map(outcome => outcome.status)).toEqual(
      keys.map((__, index) => (index % 2 ? 'rejected' : 'fulfilled')),
    )
    for (const outcome of outcomes) if (outcome.status === 'rejected') expectSilent(outcome.reason)
  })
})

function poolOf({ address }: { readonly address: string }): TransitPool {
  return poolAt(address)
}

const keyOf = ({ plaintext, ciphertext = '' }: SentItem = { associated_data: '', reference: '' }): Uint8Array =>
  Buffer.from(plaintext ?? ciphertext.replace(/^vault:v\d+:/, ''), 'base64')

/** An item that is refused with its own key, and that of all. */
function failing(items: readonly SentItem[], keyEcho: (key: Uint8Array) => string) {
  return ({ reference }: SentItem, index: number): SentResult => ({
    reference,
    error: `bad ${keyEcho(keyOf(items[index]))} ${JSON.stringify(items[index])} ${items.map(item => keyEcho(keyOf(item))).join()}`,
  })
}

describe('a server that repeats', () => {
  it('a text that it was to keep is not quoted', async () => {
    const text = 'battery horse staple'
    const [bao] = await clientFor(whole('400 X', JSON.stringify({ errors: [`bad: ${text}`, 'too long'] })))
    const put = bao.kvPut({ mount: 'kv', path: 'a' }, { value: secretOf(text) }, { signal, token: secretOf(TOKEN) })
    const error = await silentFailureOf(put)
    expect(error).toMatchObject({ serverErrors: ['a text that repeats a secret', 'too long'] })
    expect(printsOf(error).join()).not.toContain('staple')
  })

  it('what it gets until its quota is used up is not quoted', async () => {
    const echo = (text: string): string => text
    const { address } = await serveRaw(refusing('429 X', echo, key => Buffer.from(key).toString('base64')))
    expect(await silentFailureOf(encrypt(poolAt(address)))).toMatchObject({ code: 'TRANSIT_RATE_LIMITED' })
  })

  it('a token in an item is not quoted', async () => {
    const node = await serveTransit(items =>
      batchAnswer(items.map(({ reference }) => ({ reference, error: `${TOKEN} is bad` }))),
    )
    const error = await silentFailureOf(poolOf(node).decrypt(cipherOf(KEY), call))
    expect(error).toMatchObject({ code: 'TRANSIT_REQUEST_REFUSED' })
    expect(error.message).toContain('a text that repeats a secret')
  })

  it.each([
    ['a plaintext that nobody else has told us', Buffer.from(KEY).toString('base64')],
    ['a token that it has just made', 's.0therTokenThatNobodyKnows'],
  ])('%s in what it refuses leaves it out', async (_, text) => {
    const node = await serveTransit(() => whole('400 X', JSON.stringify({ errors: [`cannot: ${text} was it`] })))
    const error = await silentFailureOf(poolOf(node).decrypt(cipherOf(KEY), call))
    expect(error.message).toContain('cannot: […] was it')
    expect(printsOf(error).join()).not.toContain(text)
  })

  it.each([
    ['as the host', `https://${TOKEN}/v1/x`],
    ['below a host', `https://other:8200/v1/x?token=${TOKEN}`],
    ['as a user', `https://${TOKEN}@other:8200/`],
    ['in hex', `https://${Buffer.from(TOKEN).toString('hex')}.example/`],
  ])('a token in a redirect, %s, is not told', async (_, location) => {
    const [bao] = await clientFor(whole('307 X', '', `Location: ${location}\r\n`))
    const error = await silentFailureOf(bao.haStatus({ signal, token: secretOf(TOKEN) }))
    expect(error).toMatchObject({ code: 'OPENBAO_REDIRECTED', redirectOrigin: undefined })
  })

  it('what it got, in an answer that cannot be, is not quoted', async () => {
    const bodies = [
      `{"data":${TOKEN}}`,
      `${TOKEN}: "x"`,
      `{"data":{"config":"${TOKEN}","servers":{"${TOKEN}":{"healthy":"${TOKEN}"}},"healthy":true,"failure_tolerance":1}}`,
      `{"data":{"servers":{"${TOKEN}":1},"healthy":true,"failure_tolerance":1}}`,
      `{"data":{"${TOKEN}":1,"type":"${TOKEN}","latest_version":"${TOKEN}","keys":{"${TOKEN}":1}}}`,
    ]
    for (const body of bodies) {
      const [bao, { address }] = await clientFor(whole('200 OK', body))
      const authenticated = { signal, token: secretOf(TOKEN) }
      await silentFailureOf(bao.autopilotState(authenticated))
      await silentFailureOf(bao.raftConfiguration(authenticated))
      await silentFailureOf(bao.kvGet({ mount: 'kv', path: 'a' }, authenticated))
      await silentFailureOf(encrypt(poolAt(address)))
      await silentFailureOf(poolAt(address).readKey(call))
    }
  })

  it('what it got where the type of a key should be, is not quoted', async () => {
    const data = { type: TOKEN, latest_version: 1, min_decryption_version: 1, keys: { '1': 1 } }
    const body = JSON.stringify({ data: { ...data, min_encryption_version: 0, min_available_version: 0 } })
    const { address } = await serveRaw(whole('200 OK', body))
    const error = await silentFailureOf(poolAt(address).readKey(call))
    expect(error).toMatchObject({ code: 'TRANSIT_KEY_UNSUITABLE' })
  })

  it.each<[string, (request: string) => string]>([
    ['instead of HTTP', request => request],
    ['as a status', request => `HTTP/1.1 ${tokenIn(request)} ${tokenIn(request)}\r\n\r\n`],
    ['as a header', request => `HTTP/1.1 200 OK\r\n${tokenIn(request)}\r\n\r\n`],
    ['as a length', request => `HTTP/1.1 200 OK\r\nContent-Length: ${tokenIn(request)}\r\n\r\n`],
    ['as a chunk', request => `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${bodyOf(request)}\r\n${TOKEN}`],
    ['in a reason', request => `HTTP/1.1 500 ${tokenIn(request)}\r\nContent-Length: 0\r\n\r\n`],
    ['in endless headers', request => `HTTP/1.1 200 OK\r\n${`X: ${tokenIn(request)}\r\n`.repeat(5_000)}`],
  ])('what it got, %s, is not quoted', async (_, answer) => {
    const { address } = await serveRaw((socket, request) => socket.end(answer(request)))
    await silentFailureOf(encrypt(poolAt(address)))
  })

  it('what it got, is not told by the health of its address either', async () => {
    const { address } = await serveRaw(
      refusing(
        '500 X',
        text => text,
        key => Buffer.from(key).toString('base64'),
      ),
    )
    const pool = poolAt(address)
    await silentFailureOf(encrypt(pool))
    await waitUntil(() => pool.health()[0]?.state === 'failing', { what: 'the node to fail', timeoutMs: 5_000 })
    expectSilent(pool.health())
  })
})

it('a server that says what is wrong is quoted', async () => {
  const node = await serveTransit(() => whole('400 X', '{"errors":["something new", "bad associated_data AQID"]}'))
  const error = await silentFailureOf(encrypt(poolOf(node)))
  expect(error.message).toContain('something new; bad associated_data AQID')
  expect((error.cause as OpenBaoError).serverErrors).toEqual(['something new', 'bad associated_data AQID'])
})
