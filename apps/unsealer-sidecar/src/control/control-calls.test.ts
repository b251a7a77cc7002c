import { request } from 'node:http'
import { waitUntil } from '@sealwright/testing-rig'
import { ask } from '../testing/ask.ts'
import { type ControlCall } from './control-api.ts'
import { controlScope } from './testing/control-scope.ts'
import { sendBytes, sendJson } from './testing/send.ts'

const nobody = { processId: undefined, userId: undefined }

/** A control socket that notes calls. */
async function noting(options: Parameters<typeof controlScope>[0] = {}) {
  const calls: ControlCall[] = []
  const onCalled = (call: ControlCall): void => {
    calls.push(call)
  }
  const control = await controlScope({ ...options, dependencies: { onCalled, ...options.dependencies } })
  const untilNoted = async (count: number): Promise<void> => {
    await waitUntil(() => calls.length >= count, { what: `${count} noted calls`, timeoutMs: 20_000 })
  }
  return { control, calls, untilNoted }
}

describe('what the audit log gets of calls', () => {
  it('is each one for a change, done or refused, and the keyring that was taken away, without names and values', async () => {
    const { control, calls, untilNoted } = await noting()
    await using scope = control
    for (const path of ['/healthz', '/v1/sys/seals', '/v1/sys/members', '/v1/sys/generations']) {
      await sendJson(scope.path, 'GET', path)
    }
    await sendJson(scope.path, 'POST', '/v1/sys/seals/probe')
    await sendBytes(scope.path, 'PUT', '/v1/sys/keyring', Uint8Array.of(1))
    await sendJson(scope.path, 'PUT', '/v1/sys/keyring', { not: 'bytes' })
    await sendJson(scope.path, 'DELETE', '/v1/sys/seals/old-hsm', { not: 'known' })
    await ask(scope.path, { path: '/v1/sys/keyring' })
    await untilNoted(4)
    expect(calls).toEqual([
      { method: 'PUT', path: '/v1/sys/keyring', status: 200, caller: nobody },
      { method: 'PUT', path: '/v1/sys/keyring', status: 415, caller: nobody },
      { method: 'DELETE', path: '/v1/sys/seals/:name', status: 400, caller: nobody },
      { method: 'GET', path: '/v1/sys/keyring', status: 200, caller: nobody },
    ])
  })

  it('says 0 for the status where the caller went away before the answer', async () => {
    const started = Promise.withResolvers<undefined>()
    const importKeyring = async (_request: unknown, signal: AbortSignal): Promise<never> => {
      started.resolve(undefined)
      return await new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          reject(new Error('nobody waits any more'))
        })
      })
    }
    const { control, calls, untilNoted } = await noting({ operations: { importKeyring } })
    await using scope = control
    const headers = { 'content-type': 'application/octet-stream' }
    const left = request({ socketPath: scope.path, method: 'PUT', path: '/v1/sys/keyring', headers })
    left.on('error', () => undefined)
    left.end(Uint8Array.of(1))
    await started.promise
    left.destroy()
    await untilNoted(1)
    expect(calls).toEqual([{ method: 'PUT', path: '/v1/sys/keyring', status: 0, caller: nobody }])
  })
})
