import { KMS_KEY, startTransitOpenBao, type TransitOpenBao } from '@sealwright/testing-kms'
import { slowProxy, type SlowProxy } from '@sealwright/testing-rig'
import { codesOf, loadPlugin } from './kms-kit.ts'
import { APISERVER_TIMEOUT_MS, type KmsSubject, NO_ANSWER, startSubject } from './kms-subject.ts'
import { sharedScope } from './test-scope.ts'

const scope = sharedScope()

let bao: TransitOpenBao
let proxy: SlowProxy
let subject: KmsSubject

beforeAll(async () => {
  bao = scope.use(await startTransitOpenBao({ directory: scope.folder.join('bao') }))
  proxy = scope.use(await slowProxy(bao.node.apiAddress, 0))
  const token = await bao.writeToken()
  subject = await startSubject(scope, {
    backend: bao.backend({ addresses: [proxy.address] }),
    forbidden: [KMS_KEY, new URL(proxy.address).host, token, bao.tokenFile, 'transit/'],
  })
}, 120_000)

afterEach(async () => {
  proxy.setDelay(0)
  await subject.waitForDecrypt('OK')
  await subject.waitUntilWell()
})

it('serves 64 callers at once while OpenBao takes 100 ms for each answer, over a few connections', async () => {
  proxy.setDelay(100)
  for (const operation of ['decrypt', 'encrypt'] as const) {
    const socketPath = subject.plugin.socketPath
    const report = await loadPlugin({ socketPath, operation, callers: 64, durationMs: 3_000 })
    expect(codesOf(report)).toEqual({ OK: report.calls })
    expect(report.wrong).toBe(0)
    // One at a time would be 30.
    expect(report.calls).toBeGreaterThan(300)
  }
  expect(proxy.connectionCount()).toBeLessThan(20)
  expect(await subject.health()).toBe('ok')
})

it('says before kube-apiserver gives up that OpenBao does not answer, when each answer takes 2.9 s', async () => {
  proxy.setDelay(2_900)
  const startedMs = performance.now()
  const outcomes = await Promise.all([subject.decrypt(), subject.encrypt()])
  // Its own words, and not those of the client: kube-apiserver would say "context deadline exceeded".
  expect(outcomes).toEqual([`DEADLINE_EXCEEDED: ${NO_ANSWER}`, `DEADLINE_EXCEEDED: ${NO_ANSWER}`])
  expect(performance.now() - startedMs).toBeLessThan(APISERVER_TIMEOUT_MS)
  await subject.waitUntilIll(`KMS_DEADLINE_EXCEEDED: ${NO_ANSWER}`)
})

it.each([200, 400])('works, if slowly, while each answer takes %i ms', async delayMs => {
  proxy.setDelay(delayMs)
  expect([await subject.decrypt(), await subject.encrypt()]).toEqual(['OK', 'OK'])
  expect(await subject.health()).toBe('ok')
})

it('works behind a way that takes 1.2 s, where it is told to be so patient', async () => {
  const patient = await startSubject(scope, {
    backend: bao.backend({ addresses: [proxy.address], patienceMs: 2_500 }),
    forbidden: [KMS_KEY, new URL(proxy.address).host],
    name: 'patient',
  })
  proxy.setDelay(1_200)
  expect([await patient.decrypt(), await patient.encrypt()]).toEqual(['OK', 'OK'])
  expect(await patient.health()).toBe('ok')
})
