import { status } from '@grpc/grpc-js'
import { KmsError, type KmsErrorCode, type KmsV2Service } from '@sealwright/kms-v2'
import { Secret } from '@sealwright/secret'
import { temporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { listenOnUnixSocket } from '@sealwright/unix-socket'
import { randomBytes } from 'node:crypto'
import { KeyManagementService } from './generated/v2/api_pb.ts'
import { serveKmsV2 } from './serve.ts'
import { serveByGrpcJs } from './testing/grpc-js-server.ts'
import { type KmsClient, kmsClient } from './testing/kms-client.ts'
import { ANNOTATION, KEY_ID, memoryProvider } from './testing/memory-provider.ts'

const { status: statusMethod, encrypt, decrypt } = KeyManagementService.method

const SERVERS = {
  ours: (service: KmsV2Service, path: string): Promise<AsyncDisposable> =>
    serveKmsV2({ service, path, listen: listenOnUnixSocket, now: () => performance.now(), onFailure: () => undefined }),
  'that of grpc-js': serveByGrpcJs,
}

const STATUSES: readonly (readonly [KmsErrorCode, status])[] = [
  ['KMS_REQUEST_INVALID', status.INVALID_ARGUMENT],
  ['KMS_VERSION_RETIRED', status.FAILED_PRECONDITION],
  ['KMS_BACKEND_UNAVAILABLE', status.UNAVAILABLE],
  ['KMS_BACKEND_BROKEN', status.INTERNAL],
  ['KMS_DEADLINE_EXCEEDED', status.DEADLINE_EXCEEDED],
  ['KMS_CANCELLED', status.CANCELLED],
]

describe.each(Object.entries(SERVERS))('a client of the provider behind a server: %s', (_name, serve) => {
  async function withProvider(service: KmsV2Service, use: (client: KmsClient) => Promise<void>): Promise<void> {
    await using used = new AsyncDisposableStack()
    const folder = used.use(await temporaryFolder())
    const path = folder.join('kms.sock')
    used.use(await serve(service, path))
    await use(used.use(kmsClient(path)))
  }

  it('gets the status', async () => {
    await withProvider(memoryProvider(), async client => {
      expect(await client.call(statusMethod, {})).toMatchObject({ version: 'v2', healthz: 'ok', keyId: KEY_ID })
    })
  })

  it.each([1, 32, 512, 20_000])('gets back a plaintext of %d bytes that it had encrypted', async byteLength => {
    await withProvider(memoryProvider(), async client => {
      const plaintext = randomBytes(byteLength)
      const { ciphertext, keyId, annotations } = await client.call(encrypt, { plaintext, uid: 'uid-ä-🔑' })
      expect(Buffer.from(annotations[ANNOTATION] ?? []).toString()).toBe('uid-ä-🔑')
      const opened = await client.call(decrypt, { ciphertext, keyId, annotations, uid: 'another' })
      expect(Buffer.from(opened.plaintext)).toEqual(plaintext)
    })
  })

  it('gets its own answer, of many calls at once', async () => {
    await withProvider(memoryProvider(), async client => {
      const seeds = Array.from({ length: 200 }, () => randomBytes(32))
      const opened = await Promise.all(
        seeds.map(async plaintext => {
          const { ciphertext, keyId } = await client.call(encrypt, { plaintext })
          return (await client.call(decrypt, { ciphertext, keyId })).plaintext
        }),
      )
      expect(opened.map(bytes => Buffer.from(bytes))).toEqual(seeds)
    })
  })

  it('hands the provider every field of a Decrypt', async () => {
    const seen: unknown[] = []
    const service = memoryProvider({
      decrypt: ({ ciphertext, uid, keyId, annotations }) => {
        seen.push(
          Buffer.from(ciphertext).toString(),
          uid,
          keyId,
          [...annotations].map(([name, value]) => [name, Buffer.from(value).toString()]),
        )
        return Promise.resolve({ plaintext: new Secret(new Uint8Array(1)) })
      },
    })
    await withProvider(service, async client => {
      const annotations = { 'a.example': Buffer.from('1'), __proto__x: Buffer.from('2') }
      await client.call(decrypt, { ciphertext: Buffer.from('closed'), uid: 'u', keyId: 'k', annotations })
    })
    expect(seen).toEqual([
      'closed',
      'u',
      'k',
      [
        ['a.example', '1'],
        ['__proto__x', '2'],
      ],
    ])
  })

  it.each(STATUSES)('gets %s as a status of gRPC, with its words', async (code, expected) => {
    const message = 'ask the operator: 100 % of the Schlüssel 🔑 are gone\nfor good'
    const fail = (): never => {
      throw new KmsError(code, message, { cause: new Error('at vault.internal') })
    }
    const service = memoryProvider({ status: fail, encrypt: () => Promise.reject(new KmsError(code, message)) })
    await withProvider(service, async client => {
      await expect(client.call(statusMethod, {})).rejects.toMatchObject({ code: expected, details: message })
      await expect(client.call(encrypt, {})).rejects.toMatchObject({ code: expected, details: message })
    })
  })

  it('gets no word of an error that the provider did not mean for it', async () => {
    const service = memoryProvider({ encrypt: () => Promise.reject(new TypeError('token s.1234 at vault.internal')) })
    await withProvider(service, async client => {
      const failure: unknown = await client.call(encrypt, {}).catch((error: unknown) => error)
      expect(failure).toMatchObject({ code: status.INTERNAL })
      expect(JSON.stringify(failure)).not.toMatch(/s\.1234|vault|TypeError/)
    })
  })

  it('has its call aborted when it cancels, and when its deadline passes', async () => {
    const signals: AbortSignal[] = []
    const service = memoryProvider({
      encrypt: (_request, { signal }) => {
        signals.push(signal)
        return new Promise(() => undefined)
      },
    })
    await withProvider(service, async client => {
      const canceller = new AbortController()
      const cancelled = client.call(encrypt, {}, { signal: canceller.signal })
      await waitUntil(() => signals.length === 1, { what: 'the first call', timeoutMs: 5000 })
      canceller.abort()
      await expect(cancelled).rejects.toMatchObject({ code: status.CANCELLED })
      await expect(client.call(encrypt, {}, { timeoutMs: 50 })).rejects.toMatchObject({
        code: status.DEADLINE_EXCEEDED,
      })
      await waitUntil(() => signals.length === 2 && signals.every(signal => signal.aborted), {
        what: 'both calls to be aborted',
        timeoutMs: 5000,
      })
    })
  })

  it('is refused what is too long, and served on', async () => {
    await withProvider(memoryProvider(), async client => {
      const plaintext = new Uint8Array(1_000_000)
      await expect(client.call(encrypt, { plaintext })).rejects.toMatchObject({ code: status.RESOURCE_EXHAUSTED })
      expect(await client.call(statusMethod, {})).toMatchObject({ healthz: 'ok' })
    })
  })

  it('can ask for a method that there is not', async () => {
    await withProvider(memoryProvider(), async client => {
      const other = {
        ...statusMethod,
        name: 'Rotate',
        parent: { ...statusMethod.parent, typeName: 'v1beta1.KeyManagementService' },
      }
      await expect(client.call(other, {})).rejects.toMatchObject({ code: status.UNIMPLEMENTED })
    })
  })
})
