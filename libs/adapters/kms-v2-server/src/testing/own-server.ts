import { type KmsV2Service } from '@sealwright/kms-v2'
import {
  type KmsCallReport,
  type KmsServerFailure,
  type KmsServerOptions,
  type KmsV2Server,
  serveKmsV2,
} from '../serve.ts'

/** Our server, and what it told of its calls and failures. */
export interface OwnServer extends AsyncDisposable {
  readonly server: KmsV2Server
  readonly path: string
  readonly calls: readonly KmsCallReport[]
  readonly failures: readonly KmsServerFailure[]
}

type Changes = Pick<KmsServerOptions, 'listen'> & Partial<KmsServerOptions>

/** Serves a provider and keeps what the server tells. */
export async function serveOwn(service: KmsV2Service, path: string, changes: Changes): Promise<OwnServer> {
  const calls: KmsCallReport[] = []
  const failures: KmsServerFailure[] = []
  const server = await serveKmsV2({
    service,
    path,
    now: () => performance.now(),
    onCall: report => calls.push(report),
    onFailure: failure => failures.push(failure),
    ...changes,
  })
  return { server, path, calls, failures, [Symbol.asyncDispose]: () => server.close() }
}
