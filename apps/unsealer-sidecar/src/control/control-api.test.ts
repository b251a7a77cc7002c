import { mkdtemp, rm } from 'node:fs/promises'
import { type IncomingMessage, request, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type SealView, type StatusView } from '@sealwright/control-api'
import { controlApi, type ControlApiDependencies } from './control-api.ts'
import { openControlSocket } from './control-socket.ts'
import { ask } from '../testing/ask.ts'

const seals: SealView[] = [
  {
    name: 'tpm',
    type: 'tpm',
    priority: 1,
    disabled: false,
    health: { state: 'healthy', unwrappedAt: '2026-01-01T00:00:00.000Z', tookMs: 12 },
  },
]
const statusView: StatusView = {
  version: '1.2.3',
  pid: 1,
  startedAt: '2026-01-01T00:00:00.000Z',
  state: 'sealed',
  store: '/store',
  seals,
  sessions: 0,
  openbao: { state: 'not-configured' },
}

let folder: string
let path: string
let failures: unknown[]
let resources: AsyncDisposableStack

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'control-'))
  path = join(folder, 'control.sock')
  failures = []
  resources = new AsyncDisposableStack()
})

afterEach(async () => {
  await resources[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

/** Serves the API on its socket, as the agent does. */
async function serve(overrides: Partial<ControlApiDependencies> = {}): Promise<void> {
  const api = controlApi({
    status: () => Promise.resolve(statusView),
    probe: () => Promise.resolve(seals),
    rotate: () => Promise.resolve({ generation: 2, keyId: 'k2' }),
    isOpen: () => false,
    metrics: { contentType: 'text/plain; version=0.0.4', text: () => Promise.resolve('sealwright_open 0\n') },
    onFailure: error => failures.push(error),
    ...overrides,
  })
  await api.ready()
  const loadApi = () =>
    Promise.resolve((request: IncomingMessage, response: ServerResponse) => {
      api.routing(request, response)
    })
  resources.use(await openControlSocket({ path, loadApi, onFailure: error => failures.push(error) }))
}

const PROBE = '/v1/sys/seals/probe'

describe('the control API', () => {
  it('is alive while it runs', async () => {
    await serve()
    expect(await ask(path, { path: '/healthz' })).toMatchObject({ statusCode: 200, body: '{"status":"ok"}' })
  })

  it.each([
    [200, true],
    [503, false],
  ])('answers %d on /readyz when open is %s', async (statusCode, isOpen) => {
    await serve({ isOpen: () => isOpen })
    expect(await ask(path, { path: '/readyz' })).toMatchObject({ statusCode, body: `{"ready":${isOpen}}` })
  })

  it('gives metrics as Prometheus text, and the status as it is', async () => {
    await serve()
    expect(await ask(path, { path: '/metrics' })).toEqual({
      statusCode: 200,
      contentType: 'text/plain; version=0.0.4',
      body: 'sealwright_open 0\n',
    })
    expect(JSON.parse((await ask(path, { path: '/v1/sys/seal-status' })).body)).toEqual(statusView)
  })

  it.each([undefined, '{}'])('probes every seal on POST with the body %s, and with no other method', async body => {
    let wasAborted = true
    await serve({
      probe: async signal => {
        await new Promise(setImmediate)
        wasAborted = signal.aborted
        return seals
      },
    })
    const answer = await ask(path, { method: 'POST', path: PROBE, ...(body === undefined ? {} : { body }) })
    expect([answer.statusCode, JSON.parse(answer.body), wasAborted]).toEqual([200, { seals }, false])
    expect(await ask(path, { path: PROBE })).toMatchObject({ statusCode: 404 })
  })

  it('ends a probe whose caller goes away, which is no failure', async () => {
    const begun = Promise.withResolvers<undefined>()
    const ended = Promise.withResolvers<unknown>()
    await serve({
      probe: signal =>
        new Promise((_resolve, reject) => {
          begun.resolve(undefined)
          signal.addEventListener('abort', () => {
            ended.resolve(undefined)
            reject(new Error('given up'))
          })
        }),
    })
    const caller = request({ socketPath: path, method: 'POST', path: PROBE, agent: false })
    caller.on('error', () => undefined)
    caller.end()
    await begun.promise
    caller.destroy()
    await ended.promise
    expect(await ask(path, { path: '/healthz' })).toMatchObject({ statusCode: 200 })
    expect(failures).toEqual([])
  })

  it('tells a caller nothing of a failure of its own, and us everything', async () => {
    const failure = new Error('EACCES: /var/lib/sealwright/seal')
    await serve({ status: () => Promise.reject(failure) })
    const answer = await ask(path, { path: '/v1/sys/seal-status' })
    expect(answer.statusCode).toBe(500)
    expect(JSON.parse(answer.body)).toEqual({ errors: ['internal error, see the log of the agent'] })
    expect(failures).toEqual([failure])
  })

  it('refuses a body that is too large or is no JSON, and paths that it does not know', async () => {
    await serve()
    const post = { method: 'POST', path: PROBE }
    expect(await ask(path, { ...post, body: `"${'x'.repeat(5_000)}"` })).toMatchObject({ statusCode: 413 })
    expect(await ask(path, { ...post, body: '{' })).toMatchObject({ statusCode: 400 })
    expect(await ask(path, { path: '/v1/sys/unseal' })).toMatchObject({ statusCode: 404 })
    expect(failures).toEqual([])
  })
})
