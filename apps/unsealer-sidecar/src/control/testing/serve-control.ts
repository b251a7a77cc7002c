import { type SealView, type StatusView } from '@sealwright/control-api'
import { controlApi, type ControlApiDependencies } from '../control-api.ts'
import { openControlSocket } from '../control-socket.ts'

export const fakeSealViews: SealView[] = [
  {
    ...{ name: 'tpm', type: 'tpm', priority: 1, disabled: false },
    health: { state: 'healthy', unwrappedAt: '2026-01-01T00:00:00.000Z', tookMs: 12 },
  },
  { ...{ name: 'people', type: 'shamir', priority: 9, disabled: false }, health: { state: 'untried' } },
]

export const fakeStatus: StatusView = {
  ...{ version: '1.2.3', pid: 1, startedAt: '2026-01-01T00:00:00.000Z', state: 'sealed', store: '/store' },
  ...{ seals: fakeSealViews, sessions: 0, openbao: { state: 'not-configured' } },
}

/** Serves the API on its socket, as the agent does. */
export async function serveControl(
  path: string,
  dependencies: Partial<ControlApiDependencies> & Pick<ControlApiDependencies, 'onFailure' | 'operations'>,
): Promise<AsyncDisposable> {
  const api = controlApi({
    status: () => Promise.resolve(fakeStatus),
    probe: () => Promise.resolve(fakeSealViews),
    isOpen: () => false,
    onCalled: () => undefined,
    metrics: { contentType: 'text/plain; version=0.0.4', text: () => Promise.resolve('sealwright_open 0\n') },
    ...dependencies,
  })
  await api.ready()
  return await openControlSocket({
    path,
    loadApi: () =>
      Promise.resolve((request, response) => {
        api.routing(request, response)
      }),
    onFailure: dependencies.onFailure,
  })
}
