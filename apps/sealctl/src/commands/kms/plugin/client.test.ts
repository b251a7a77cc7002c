import { type ServerHttp2Stream } from 'node:http2'
import { symlink, writeFile } from 'node:fs/promises'
import { Secret } from '@sealwright/secret'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { PluginAbsent } from '../errors.ts'
import { answering as startAnswering, answerUnary, framed } from '../testing/plugin-server.ts'
import { pluginClient, type PluginClient } from './client.ts'

let folder: TemporaryFolder
let server: AsyncDisposable | undefined

beforeEach(async () => {
  folder = await temporaryFolder()
})

afterEach(async () => {
  await server?.[Symbol.asyncDispose]()
  server = undefined
  await folder.remove()
})

/** What answers on the socket, until the test ends. */
async function answering(answer: (stream: ServerHttp2Stream) => void): Promise<void> {
  server = await startAnswering(folder.join('s'), answer)
}

async function ask<T>(
  run: (client: PluginClient) => Promise<T>,
  { timeoutMs = 5_000, signal = new AbortController().signal } = {},
): Promise<T> {
  using client = pluginClient({ socketPath: folder.join('s'), timeoutMs, signal })
  return await run(client)
}

const status = async (client: PluginClient): Promise<object> => await client.status()
const bytes = (...values: readonly number[]): Buffer => Buffer.from(values)

describe('the client of a KMS plugin', () => {
  it('reads an answer, and skips what it does not know', async () => {
    const known = [
      bytes(0x0a, 2),
      Buffer.from('v2'),
      bytes(0x12, 2),
      Buffer.from('ok'),
      bytes(0x1a, 1),
      Buffer.from('k'),
    ]
    await answering(stream => {
      answerUnary(stream, framed(Buffer.concat([...known, bytes(0x20, 7, 0x7a, 1, 0)])))
    })
    expect(await ask(status)).toEqual({ version: 'v2', healthz: 'ok', keyId: 'k' })
  })

  it('passes on what a plugin refuses, in its words', async () => {
    await answering(stream => {
      const message = encodeURIComponent('KMS_NOT_READY: später')
      stream.respond({ ':status': 200, 'grpc-status': '14', 'grpc-message': message }, { endStream: true })
    })
    await expect(ask(status)).rejects.toMatchObject({
      ...{ name: 'KmsCommandError', code: 'KMS_PLUGIN_REFUSED', message: 'Status: UNAVAILABLE: KMS_NOT_READY: später' },
    })
  })

  it('waits no longer than it is told', async () => {
    await answering(() => undefined)
    await expect(ask(status, { timeoutMs: 100 })).rejects.toMatchObject({
      ...{ code: 'KMS_PLUGIN_TIMEOUT', message: expect.stringContaining('no answer to Status in 100 ms') as string },
    })
  })

  it('ends with its caller', async () => {
    const controller = new AbortController()
    await answering(() => {
      controller.abort(new Error('stopped by SIGINT'))
    })
    await expect(ask(status, { signal: controller.signal })).rejects.toThrow('stopped by SIGINT')
  })

  it('says that there is no socket, or nobody behind it', async () => {
    const failure = async (): Promise<unknown> => await ask(status).catch((error: unknown) => error)
    const none = await failure()
    expect(none).toBeInstanceOf(PluginAbsent)
    expect(none).toMatchObject({
      ...{ code: 'KMS_PLUGIN_UNREACHABLE', message: expect.stringContaining('there is no socket') as string },
    })
    await writeFile(folder.join('s'), '')
    const nobody = await failure()
    expect(nobody).toBeInstanceOf(PluginAbsent)
    expect(nobody).toMatchObject({ message: expect.stringContaining('nobody listens') as string })
  })

  it('takes nobody for absent who only cannot be reached', async () => {
    await symlink('s', folder.join('s'))
    const error = await ask(status).catch((cause: unknown) => cause)
    expect(error).not.toBeInstanceOf(PluginAbsent)
    expect(error).toMatchObject({ code: 'KMS_PLUGIN_UNREACHABLE', message: expect.stringContaining('ELOOP') as string })
  })

  it.each<[string, (stream: ServerHttp2Stream) => void]>([
    [
      'no gRPC',
      stream => {
        stream.respond({ ':status': 404 }, { endStream: true })
      },
    ],
    [
      'no message',
      stream => {
        answerUnary(stream, Buffer.alloc(0))
      },
    ],
    [
      'half a message',
      stream => {
        answerUnary(stream, bytes(0, 0, 0, 0, 9, 1))
      },
    ],
    [
      'a compressed message',
      stream => {
        answerUnary(stream, bytes(1, 0, 0, 0, 1, 1))
      },
    ],
    [
      'a message that is none',
      stream => {
        answerUnary(stream, framed(bytes(0x0a, 9, 1)))
      },
    ],
    [
      'more than any answer has',
      stream => {
        answerUnary(stream, Buffer.alloc(70_000))
      },
    ],
  ])('does not take %s for an answer', async (_what, answer) => {
    await answering(answer)
    await expect(ask(status)).rejects.toMatchObject({ code: 'KMS_PLUGIN_ANSWER' })
  })

  it('shows a plaintext to nobody in an error', async () => {
    await answering(stream => {
      stream.respond({ ':status': 200, 'grpc-status': '13', 'grpc-message': 'bug' }, { endStream: true })
    })
    using secret = new Secret(Uint8Array.from(Buffer.from('hunter2')))
    const failure: unknown = await ask(async client => await client.encrypt(secret, 'u')).catch(
      (error: unknown) => error,
    )
    expect(failure).toMatchObject({ code: 'KMS_PLUGIN_REFUSED' })
    expect(`${String(failure)} ${JSON.stringify(failure)}`).not.toContain('hunter2')
    // It stays the caller's.
    expect(secret.reveal(plain => Buffer.from(plain).toString())).toBe('hunter2')
  })
})
