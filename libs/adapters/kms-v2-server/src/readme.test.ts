import { type KmsV2Service } from '@sealwright/kms-v2'
import { readReadmeExamples } from '@sealwright/testing-checks'
import { temporaryFolder } from '@sealwright/testing-rig'
import { listenOnUnixSocket } from '@sealwright/unix-socket'
import { existsSync } from 'node:fs'
import { KeyManagementService } from './generated/v2/api_pb.ts'
import { type KmsCallReport, type KmsServerFailure, serveKmsV2 } from './index.ts'
import { kmsClient } from './testing/kms-client.ts'
import { memoryProvider } from './testing/memory-provider.ts'

async function example({
  service,
  path,
  groupId,
  stopped,
  count,
  report,
}: {
  readonly service: KmsV2Service
  readonly path: string
  readonly groupId: number
  readonly stopped: Promise<undefined>
  readonly count: (call: KmsCallReport) => void
  readonly report: (failure: KmsServerFailure) => void
}): Promise<void> {
  // README
  const server = await serveKmsV2({
    service, // a KmsV2Service
    path, // the plugin's `endpoint` in kube-apiserver's EncryptionConfiguration, without unix://
    mode: 0o660,
    owner: { groupId }, // of kube-apiserver's user, if that is not root
    listen: listenOnUnixSocket, // of @sealwright/unix-socket
    now: () => performance.now(),
    onCall: count,
    onFailure: report,
  })
  await stopped // such as SIGTERM
  await server.drain({ timeoutMs: 5000 })
  // end
}

describe('the example in the README', () => {
  it('is the code of this test', () => {
    const { shown, own } = readReadmeExamples(import.meta.filename)
    expect(shown).toEqual(own)
  })

  it('serves until it is told to stop', async () => {
    await using folder = await temporaryFolder()
    const path = folder.join('kms.sock')
    const calls: unknown[] = []
    const failures: unknown[] = []
    const stopped = Promise.withResolvers<undefined>()
    const groupId = process.getgid?.() ?? -1
    const running = example({
      service: memoryProvider(),
      path,
      groupId,
      stopped: stopped.promise,
      count: ({ method, status }) => calls.push([method, status]),
      report: failure => failures.push(failure),
    })
    using client = kmsClient(path)
    await client.call(KeyManagementService.method.status, {}, { timeoutMs: 20_000, waitsForReady: true })
    stopped.resolve(undefined)
    await running
    expect(calls).toEqual([['Status', 'OK']])
    expect(failures).toEqual([])
    expect(existsSync(path)).toBe(false)
  })
})
