import { inspect } from 'node:util'
import { Secret } from '@sealwright/secret'
import { freePort, waitUntil } from '@sealwright/testing-rig'
import { type AnswerBatch, batchAnswer, type FakeTransit, goodResults, serveTransit } from '../testing/fake-transit.ts'
import { closeAll, serveRaw, TOKEN_TEXT, whole } from '../testing/raw-server.ts'
import { reads, secretOf } from '../testing/second-openbao.ts'
import { TransitError, type TransitErrorCode } from '../transit/error.ts'
import { openTransitPool, type TransitPool, type TransitPoolOptions } from './transit-pool.ts'

const opened: TransitPool[] = []

afterEach(async () => {
  await Promise.all(
    opened.splice(0).map(async pool => {
      await pool.close()
    }),
  )
  await closeAll()
})

const call = { signal: new AbortController().signal, associatedData: Uint8Array.of(1, 2, 3) }
const PLAINTEXT = 'plaintext-that-must-not-show'

function poolAt(addresses: readonly string[], options: Partial<TransitPoolOptions> = {}): TransitPool {
  const auth = { method: 'token', readToken: reads(TOKEN_TEXT) } as const
  const pool = openTransitPool({ addresses, keyName: 'k', auth, ...options })
  opened.push(pool)
  return pool
}

async function serve(
  answer?: AnswerBatch,
  options: Partial<TransitPoolOptions> = {},
): Promise<[TransitPool, FakeTransit]> {
  const node = await serveTransit(answer)
  return [poolAt([node.address], options), node]
}

const cipherOf = (text: string) => ({ text: `vault:v1:${Buffer.from(text).toString('base64')}`, keyVersion: 1 })

/** Decrypts, and gives the text or the code of the failure. */
async function decrypt(pool: TransitPool, text = PLAINTEXT, options: Partial<typeof call> = {}): Promise<string> {
  return await outcomeOf(pool.decrypt(cipherOf(text), { ...call, ...options }))
}

async function outcomeOf(promise: Promise<Secret>): Promise<string> {
  try {
    using plaintext = await promise
    return plaintext.reveal(bytes => Buffer.from(bytes).toString())
  } catch (error) {
    if (!(error instanceof TransitError)) throw error
    const printed = inspect(error, { depth: 10, showHidden: true })
    for (const secret of [TOKEN_TEXT, PLAINTEXT, Buffer.from(PLAINTEXT).toString('base64')]) {
      if (printed.includes(secret)) throw new Error('a secret shows', { cause: error })
    }
    return error.code
  }
}

const textsOf = (count: number): readonly string[] => Array.from({ length: count }, (_, index) => `text ${index}`)

describe('many calls at once', () => {
  it('go out together, and each gets what is its own', async () => {
    const [pool, node] = await serve()
    const texts = textsOf(64)
    expect(await Promise.all(texts.map(async text => await decrypt(pool, text)))).toEqual(texts)
    expect(node.batches.map(({ length }) => length)).toEqual([64])
    const encrypted = await Promise.all(
      texts.map(async (text, index) => await pool.encrypt(secretOf(text), { ...call, keyVersion: index + 1 })),
    )
    expect(encrypted).toEqual(
      texts.map((text, index) => ({
        ...cipherOf(text),
        text: cipherOf(text).text.replace('v1', `v${index + 1}`),
        keyVersion: index + 1,
      })),
    )
    expect(node.batches.map(({ length }) => length)).toEqual([64, 64])
    const references = node.batches.flat().map(({ reference }) => reference)
    expect(new Set(references).size).toBe(128)
  })

  it('are not held up by one that fails', async () => {
    const [pool] = await serve(items =>
      goodResults(items).map((result, index) =>
        index % 3 === 1
          ? { plaintext: '', error: 'cipher: message authentication failed', reference: result.reference }
          : result,
      ),
    )
    const outcomes = await Promise.all(textsOf(9).map(async text => await decrypt(pool, text)))
    expect(outcomes).toEqual(textsOf(9).map((text, index) => (index % 3 === 1 ? 'TRANSIT_CIPHERTEXT_REFUSED' : text)))
  })

  it.each<[string, string]>([
    ['a plaintext that was wiped', 'TypeError'],
    ['a plaintext that is too long', 'TRANSIT_OPTIONS_INVALID'],
  ])('are not held up by %s', async (what, expected) => {
    const [pool, node] = await serve()
    const bad = new Secret(new Uint8Array(what.endsWith('long') ? 257 : 32))
    if (what.endsWith('wiped')) bad.wipe()
    const calls = [bad, secretOf('good')].map(
      async plaintext => await pool.encrypt(plaintext, { ...call, keyVersion: 1 }),
    )
    const [first, second] = await Promise.allSettled(calls)
    expect(first).toMatchObject({ reason: expected === 'TypeError' ? { name: expected } : { code: expected } })
    expect(second).toMatchObject({ value: cipherOf('good') })
    expect(node.batches.map(({ length }) => length)).toEqual([1])
  })

  it('may wipe what they gave as soon as they have asked', async () => {
    const [pool] = await serve()
    const plaintext = secretOf('early')
    const encrypted = pool.encrypt(plaintext, { ...call, keyVersion: 1 })
    plaintext.wipe()
    expect(await encrypted).toEqual(cipherOf('early'))
  })

  it('are counted, and one too many is told so at once', async () => {
    const owed: (() => void)[] = []
    const [pool] = await serve(
      items => (socket, request) => owed.push(() => batchAnswer(goodResults(items))(socket, request)),
      { maxCalls: 3 },
    )
    const first = textsOf(3).map(async text => await decrypt(pool, text))
    expect(await decrypt(pool)).toBe('TRANSIT_OVERLOADED')
    await waitUntil(() => owed.length > 0, { what: 'the batch', timeoutMs: 5_000 })
    for (const answer of owed) answer()
    expect(await Promise.all(first)).toEqual(textsOf(3))
    owed.length = 0
    const next = decrypt(pool)
    await waitUntil(() => owed.length > 0, { what: 'the next batch', timeoutMs: 5_000 })
    for (const answer of owed) answer()
    expect(await next).toBe(PLAINTEXT)
  })
})

describe('a batch that is refused as a whole for what may be one item', () => {
  const isPoisoned = ({ ciphertext }: { readonly ciphertext?: string }): boolean =>
    ciphertext === cipherOf('poison').text

  it.each<[number, string, TransitErrorCode]>([
    [400, 'something is wrong with it', 'TRANSIT_REQUEST_REFUSED'],
    [400, 'refused JSON input due to high complexity: exceeded maximum number of strings', 'TRANSIT_REQUEST_REFUSED'],
    [413, 'http: request body too large', 'TRANSIT_STATUS'],
    [500, "1 error occurred: failed to parse batch input: '[5].ciphertext' missing ciphertext", 'TRANSIT_STATUS'],
  ])('with %i, %s, fails only for that one', async (status, text, code) => {
    const [pool] = await serve(items =>
      items.some(isPoisoned) ? whole(`${status} X`, JSON.stringify({ errors: [text] })) : goodResults(items),
    )
    const texts = [...textsOf(20), 'poison', ...textsOf(11)]
    const outcomes = await Promise.all(texts.map(async each => await decrypt(pool, each)))
    expect(outcomes).toEqual(texts.map(each => (each === 'poison' ? code : each)))
  })

  it('is not taken apart if the key is to blame', async () => {
    const [pool, node] = await serve(() => whole('400 X', '{"errors":["encryption key not found"]}'))
    const outcomes = await Promise.all(textsOf(8).map(async text => await decrypt(pool, text)))
    expect(new Set(outcomes)).toEqual(new Set(['TRANSIT_KEY_MISSING']))
    expect(node.batches.length).toBe(1)
  })
})

describe('an answer that cannot be', () => {
  it.each<[string, AnswerBatch]>([
    ['has one result too few', items => goodResults(items).slice(1)],
    ['has one result too many', items => [...goodResults(items), ...goodResults(items).slice(0, 1)]],
    ['has two results swapped', items => goodResults(items).toReversed()],
    [
      'has one reference twice',
      items => goodResults(items).map(result => ({ ...result, reference: items[0]?.reference })),
    ],
    [
      'has the references of another batch',
      items => goodResults(items).map((result, index) => ({ ...result, reference: `x-${index}` })),
    ],
    [
      'has no plaintext in one item',
      items => goodResults(items).map((result, index) => (index === 1 ? { reference: result.reference } : result)),
    ],
    ['has no references', items => goodResults(items).map(({ plaintext }) => ({ plaintext }))],
    ['is no JSON', () => whole('200 OK', '<html>Welcome</html>')],
    ['is empty', () => whole('200 OK', '')],
    [
      'is cut off, but says that it is whole',
      items => whole('200 OK', JSON.stringify({ data: { batch_results: goodResults(items) } }).slice(0, -9)),
    ],
    ['is a giant', () => whole('200 OK', `{"data":"${'x'.repeat(300_000)}"}`)],
    [
      'never ends',
      () => socket =>
        socket.write(
          `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${`ffff\r\n${'x'.repeat(65_535)}\r\n`.repeat(5)}`,
        ),
    ],
    ['is no HTTP', () => socket => socket.end('220 mail.example ESMTP\r\n')],
  ])('and %s, fails for all, and for nobody after them', async (_, answer) => {
    let isBad = true
    const [pool] = await serve(items => (isBad ? answer(items, 'decrypt') : goodResults(items)))
    const outcomes = await Promise.all(textsOf(3).map(async text => await decrypt(pool, text)))
    expect(outcomes).toEqual(Array<string>(3).fill('TRANSIT_RESPONSE_MALFORMED'))
    isBad = false
    expect(await decrypt(pool)).toBe(PLAINTEXT)
  })

  it('is taken with fields that we do not know', async () => {
    const [pool] = await serve(items =>
      whole(
        '200 OK',
        JSON.stringify({
          x: [[]],
          data: { batch_results: goodResults(items).map(each => ({ a: 1, ...each })), b: {} },
        }),
      ),
    )
    expect(await decrypt(pool)).toBe(PLAINTEXT)
  })

  it('and stops in the middle of the connection, is asked for once more', async () => {
    const [pool, node] = await serve(() => socket => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"da'))
    expect(await decrypt(pool)).toBe('TRANSIT_CONNECTION_CUT')
    expect(node.batches.length).toBe(2)
  })
})

describe('the words for what one item is refused with', () => {
  it.each<[string, TransitErrorCode]>([
    ['cipher: message authentication failed', 'TRANSIT_CIPHERTEXT_REFUSED'],
    ['invalid ciphertext length', 'TRANSIT_CIPHERTEXT_REFUSED'],
    ['invalid ciphertext: version is too new', 'TRANSIT_VERSION_TOO_NEW'],
    ['requested version for encryption is higher than the latest key version', 'TRANSIT_VERSION_TOO_NEW'],
    [
      'requested version for encryption is less than the minimum encryption key version',
      'TRANSIT_VERSION_NOT_ENCRYPTING',
    ],
    ['no such key version', 'TRANSIT_VERSION_NOT_ENCRYPTING'],
    ['ciphertext or signature version is disallowed by policy (too old)', 'TRANSIT_KEY_VERSION'],
    ['refusing to use soft-deleted key', 'TRANSIT_KEY_SOFT_DELETED'],
    ["missing 'context' for key derivation; the key was created", 'TRANSIT_KEY_UNSUITABLE'],
    ["'[0].associated_data' provided for non-AEAD cipher suite rsa-2048", 'TRANSIT_KEY_UNSUITABLE'],
    ['something new', 'TRANSIT_REQUEST_REFUSED'],
  ])('%s: %s', async (error, code) => {
    const [pool] = await serve(items =>
      batchAnswer(
        items.map(({ reference }) => ({ error, reference })),
        '400 X',
      ),
    )
    expect(await decrypt(pool)).toBe(code)
  })

  it.each([
    ['encrypt', 'update'],
    ['decrypt', 'update'],
    ['keys', 'read'],
  ] as const)('name the line that a policy lacks: %s', async (verb, capability) => {
    const [pool] = await serve(() => whole('403 X', '{"errors":["permission denied"]}'))
    const asked = {
      encrypt: async () => await pool.encrypt(secretOf('x'), { ...call, keyVersion: 1 }),
      decrypt: async () => await pool.decrypt(cipherOf('x'), call),
      keys: async () => await pool.readKey(call),
    }
    await expect(asked[verb]()).rejects.toMatchObject({
      code: 'TRANSIT_DENIED',
      message: expect.stringContaining(`path "transit/${verb}/k" { capabilities = ["${capability}"] }`) as string,
    })
  })
})

describe('a quota', () => {
  const limited = whole('429 X', '{"errors":["request path \\"x\\": rate limit quota exceeded"]}')

  it('that is used up is waited for a little', async () => {
    let left = 2
    const [pool, node] = await serve(items => ((left -= 1) >= 0 ? limited : goodResults(items)))
    expect(await decrypt(pool)).toBe(PLAINTEXT)
    expect(node.batches.length).toBe(3)
  })

  it('that stays used up is told', async () => {
    const [pool, node] = await serve(() => limited)
    expect(await decrypt(pool)).toBe('TRANSIT_RATE_LIMITED')
    expect(node.batches.length).toBe(4)
  })
})

describe('the time of a call', () => {
  it('ends at its limit while the node is there, and slow', async () => {
    const [pool, node] = await serve(() => () => undefined, { timeoutMs: 300, patienceMs: 100 })
    expect(await decrypt(pool)).toBe('TRANSIT_TIMEOUT')
    expect(node.knocks()).toBeGreaterThan(0)
    await waitUntil(() => pool.health()[0]?.state === 'failing', { what: 'the node to fail', timeoutMs: 5_000 })
    expect(pool.health()).toMatchObject([{ address: node.address, code: 'TRANSIT_TIMEOUT' }])
  })

  it('does not end for others when one caller leaves', async () => {
    const owed: (() => void)[] = []
    const [pool] = await serve(
      items => (socket, request) => owed.push(() => batchAnswer(goodResults(items))(socket, request)),
    )
    const leaving = new AbortController()
    const calls = [decrypt(pool, 'one', { signal: leaving.signal }), decrypt(pool, 'two')]
    await waitUntil(() => owed.length > 0, { what: 'the batch', timeoutMs: 5_000 })
    leaving.abort()
    expect(await calls[0]).toBe('TRANSIT_CANCELLED')
    for (const answer of owed) answer()
    expect(await calls[1]).toBe('two')
  })

  it('ends for all when the pool is closed, and no call is taken after that', async () => {
    const [pool, node] = await serve(() => () => undefined)
    const waiting = Promise.all(textsOf(3).map(async text => await decrypt(pool, text)))
    await waitUntil(() => node.batches.length > 0, { what: 'the batch', timeoutMs: 5_000 })
    await pool.close()
    expect(await waiting).toEqual(Array<string>(3).fill('TRANSIT_CANCELLED'))
    expect(await decrypt(pool)).toBe('TRANSIT_CANCELLED')
    await pool.close()
  })
})

describe('a key with many versions', () => {
  const MADE_S = 1_700_000_000
  const keyWith = (count: number): string => {
    const keys = Object.fromEntries(Array.from({ length: count }, (_, index) => [index + 1, MADE_S + index]))
    const fields = { type: 'aes256-gcm96', latest_version: count, min_decryption_version: 1, keys }
    return JSON.stringify({ data: { ...fields, min_encryption_version: 0, min_available_version: 0 } })
  }
  const poolOfKey = async (body: string): Promise<TransitPool> => {
    const { address } = await serveRaw(whole('200 OK', body))
    return poolAt([address])
  }

  it.each([1, 15_000, 200_000])('is read with all of them: %i', async count => {
    const { versions, latestVersion } = await (await poolOfKey(keyWith(count))).readKey(call)
    expect([versions.size, latestVersion]).toEqual([count, count])
    expect(versions.get(count)).toBe((MADE_S + count - 1) * 1_000)
  })

  it('is refused beyond 4 MiB, and no answer to a batch may be as long', async () => {
    const pool = await poolOfKey(keyWith(10).padEnd(4_194_305))
    await expect(pool.readKey(call)).rejects.toMatchObject({ code: 'TRANSIT_RESPONSE_MALFORMED' })
    const small = await poolOfKey(keyWith(15_000))
    await expect(small.decrypt(cipherOf('x'), call)).rejects.toMatchObject({
      cause: { code: 'OPENBAO_RESPONSE_TOO_LARGE' },
    })
  })
})

it('tells at once that nobody is there, and what it knows of each address', async () => {
  const nobody = `http://127.0.0.1:${await freePort()}`
  const node = await serveTransit()
  const changes: unknown[] = []
  const pool = poolAt([nobody, node.address], { onHealth: ({ address, state }) => changes.push([address, state]) })
  expect(pool.health().map(({ state, code }) => [state, code])).toEqual([
    ['untried', undefined],
    ['untried', undefined],
  ])
  expect(await decrypt(pool)).toBe(PLAINTEXT)
  expect(pool.health().map(({ state, code }) => [state, code])).toEqual([
    ['failing', 'TRANSIT_UNREACHABLE'],
    ['answering', undefined],
  ])
  expect(changes).toEqual([
    [nobody, 'failing'],
    [node.address, 'answering'],
  ])
  expect(await decrypt(poolAt([nobody]))).toBe('TRANSIT_UNREACHABLE')
})

it.each<[string, { readonly text: string; readonly keyVersion: number }]>([
  ['another version than its own', { text: 'vault:v1:AAAA', keyVersion: 2 }],
  ['a quotation mark in it', { text: 'vault:v1:AAAA","x":"', keyVersion: 1 }],
  ['nothing in it', { text: '', keyVersion: 1 }],
])('sends no ciphertext with %s', async (_, ciphertext) => {
  const [pool, node] = await serve()
  expect(await outcomeOf(pool.decrypt(ciphertext, call))).toBe('TRANSIT_CIPHERTEXT_REFUSED')
  expect(node.requests).toEqual([])
})

it.each<[string, object]>([
  ['no address', { addresses: [] }],
  ['an address twice', { addresses: ['http://127.0.0.1:1', 'http://127.0.0.1:1'] }],
  ['plain http to elsewhere', { addresses: ['http://bao.example'] }],
  ['a key name that is no path', { keyName: '..' }],
  ['too many items in a batch', { maxBatchItems: 129 }],
  ['no items in a batch', { maxBatchItems: 0 }],
])('is not opened with %s', (_, options) => {
  let code: unknown
  try {
    poolAt(['http://127.0.0.1:1'], options)
  } catch (error) {
    code = error instanceof TransitError ? error.code : error
  }
  expect(code).toBe('TRANSIT_OPTIONS_INVALID')
})

it('takes no version of a key that cannot be, and no associated data without end', async () => {
  const [pool, node] = await serve()
  for (const options of [
    { keyVersion: 0 },
    { keyVersion: 1.5 },
    { keyVersion: 1, associatedData: new Uint8Array(4_097) },
  ]) {
    const encrypted = pool.encrypt(secretOf('x'), { ...call, ...options })
    await expect(encrypted).rejects.toMatchObject({ code: 'TRANSIT_OPTIONS_INVALID' })
  }
  expect(node.requests).toEqual([])
})
