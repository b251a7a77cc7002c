import { request } from 'node:http'
import { OPERATIONS } from '@sealwright/control-api'
import { controlScope } from './testing/control-scope.ts'
import { sendJson, send } from './testing/send.ts'
import { fakeSealViews, fakeStatus } from './testing/serve-control.ts'
import { ask } from '../testing/ask.ts'

const PROBE = '/v1/sys/seals/probe'

describe('the control API', () => {
  it('is alive while it runs', async () => {
    await using control = await controlScope()
    expect(await ask(control.path, { path: '/healthz' })).toMatchObject({ statusCode: 200, body: '{"status":"ok"}' })
  })

  it.each([
    [200, true],
    [503, false],
  ])('answers %d on /readyz when open is %s', async (statusCode, isOpen) => {
    await using control = await controlScope({ dependencies: { isOpen: () => isOpen } })
    expect(await ask(control.path, { path: '/readyz' })).toMatchObject({ statusCode, body: `{"ready":${isOpen}}` })
  })

  it('gives metrics as Prometheus text, and the status as it is, with the sets of shares', async () => {
    await using control = await controlScope()
    expect(await ask(control.path, { path: '/metrics' })).toEqual({
      statusCode: 200,
      contentType: 'text/plain; version=0.0.4',
      body: 'sealwright_open 0\n',
    })
    const sets = [{ label: 'board', threshold: 2, count: 3, entered: [] }]
    expect(JSON.parse((await ask(control.path, { path: '/v1/sys/seal-status' })).body)).toEqual({
      ...fakeStatus,
      seals: fakeStatus.seals.map(seal => (seal.type === 'shamir' ? { ...seal, sets } : seal)),
    })
  })

  it('gives the status of one seal of this node, in the words of the RFC', async () => {
    await using control = await controlScope()
    expect(await sendJson(control.path, 'GET', '/v1/sys/seal-status/tpm')).toEqual({
      status: 200,
      json: {
        ...{ name: 'tpm', type: 'tpm', priority: 1, disabled: false, sealed: true, opened: false },
        autoUnsealHealth: { state: 'healthy', unwrappedAt: '2026-01-01T00:00:00.000Z', tookMs: 12 },
      },
    })
    expect(await sendJson(control.path, 'GET', '/v1/sys/seal-status/people')).toMatchObject({
      ...{ status: 200, json: { type: 'shamir', sets: [{ label: 'board', threshold: 2, count: 3, entered: [] }] } },
    })
    expect(await sendJson(control.path, 'GET', '/v1/sys/seal-status/gone')).toEqual({
      status: 404,
      json: { errors: ['there is no seal gone in the configuration of this node'], code: 'CONTROL_SEAL_UNKNOWN' },
    })
  })

  it('describes itself', async () => {
    await using control = await controlScope()
    const { json } = await sendJson(control.path, 'GET', '/v1/openapi.json')
    expect(json).toMatchObject({ openapi: '3.1.0' })
    const { paths } = json as { readonly paths: Readonly<Record<string, unknown>> }
    const expected = Object.values(OPERATIONS).map(({ path }) => path.replaceAll(/:(\w+)/g, '{$1}'))
    expect(new Set(Object.keys(paths))).toEqual(new Set(expected))
  })

  it.each([undefined, '{}'])('probes every seal on POST with the body %s, and with no other method', async body => {
    let wasAborted = true
    await using control = await controlScope({
      dependencies: {
        probe: async signal => {
          await new Promise(setImmediate)
          wasAborted = signal.aborted
          return fakeSealViews
        },
      },
    })
    const answer = await ask(control.path, { method: 'POST', path: PROBE, ...(body === undefined ? {} : { body }) })
    expect([answer.statusCode, JSON.parse(answer.body), wasAborted]).toEqual([200, { seals: fakeSealViews }, false])
    expect(await sendJson(control.path, 'PUT', PROBE)).toEqual({
      status: 405,
      json: { errors: ['this path is asked with POST or GET or DELETE'], code: 'CONTROL_METHOD_UNKNOWN' },
    })
  })

  it('ends a probe whose caller goes away, which is no failure', async () => {
    const begun = Promise.withResolvers<undefined>()
    const ended = Promise.withResolvers<unknown>()
    await using control = await controlScope({
      dependencies: {
        probe: signal =>
          new Promise((_resolve, reject) => {
            begun.resolve(undefined)
            signal.addEventListener('abort', () => {
              ended.resolve(undefined)
              reject(new Error('given up'))
            })
          }),
      },
    })
    const caller = request({ socketPath: control.path, method: 'POST', path: PROBE, agent: false })
    caller.on('error', () => undefined)
    caller.end()
    await begun.promise
    caller.destroy()
    await ended.promise
    expect(await ask(control.path, { path: '/healthz' })).toMatchObject({ statusCode: 200 })
    expect(control.failures).toEqual([])
  })

  it('tells a caller nothing of a failure of its own, and us everything', async () => {
    const failure = new Error('EACCES: /var/lib/sealwright/seal')
    await using control = await controlScope({ dependencies: { status: () => Promise.reject(failure) } })
    const answer = await ask(control.path, { path: '/v1/sys/seal-status' })
    expect(answer.statusCode).toBe(500)
    expect(JSON.parse(answer.body)).toEqual({
      errors: ['internal error, see the log of the agent'],
      code: 'CONTROL_INTERNAL',
    })
    expect(control.failures).toEqual([failure])
  })

  it('refuses paths and methods that it does not know, and says which there are', async () => {
    await using control = await controlScope()
    expect(await sendJson(control.path, 'GET', '/v1/sys/nothing')).toEqual({
      status: 404,
      json: { errors: ['no such path'], code: 'CONTROL_PATH_UNKNOWN' },
    })
    expect(await sendJson(control.path, 'GET', '/%zz')).toMatchObject({
      status: 400,
      json: { code: 'CONTROL_REQUEST_INVALID' },
    })
    const answer = await send(control.path, { method: 'POST', path: '/v1/sys/seals/tpm' })
    expect([answer.status, answer.headers.allow]).toEqual([405, 'GET, DELETE'])
    expect(await sendJson(control.path, 'DELETE', '/healthz')).toMatchObject({ status: 405 })
    expect(control.failures).toEqual([])
  })

  it('has every path and method of the table, and no other', async () => {
    await using control = await controlScope()
    for (const { method, path } of Object.values(OPERATIONS)) {
      const { status } = await send(control.path, { method, path: path.replace(':name', 'tpm') })
      expect([method, path, [404, 405].includes(status)]).toEqual([method, path, false])
    }
    for (const method of ['PATCH', 'OPTIONS', 'HEAD']) {
      expect((await send(control.path, { method, path: '/v1/sys/keyring' })).status).toBe(405)
    }
  })
})
