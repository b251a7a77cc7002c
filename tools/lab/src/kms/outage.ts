import { etcdKeyOf, writeSecret } from '@sealwright/testing-kms'
import { type ApiResponse, messageOf } from '@sealwright/testing-kubernetes'
import { waitUntil } from '@sealwright/testing-rig'
import { LabError } from '../errors.ts'
import { type Telling } from '../run-story.ts'
import { refusedDecrypts, untilReadyz } from './plugin-view.ts'
import { expectSecret, SECRET } from './secret.ts'
import { storedSecret, withBitFlipped } from './stored.ts'
import { killNode, type KmsWorld } from './world.ts'

/** What an outage of OpenBao did, and what it did not do. */
export interface OutageFigures {
  /** One read of a Secret by a running API server, OpenBao being dead; median. */
  readonly readWithoutOpenBaoMs: number
  /** From `kill -9` of OpenBao until the plugin says at `/readyz` what is wrong. */
  readonly outageNoticedMs: number
  /** How long the plugin took to refuse a Decrypt with one bit changed; there was no OpenBao that could have been asked. Mean. */
  readonly tamperedDecryptRefusedMicroseconds: number
  /** From OpenBao being active again until the API server that waited for it is ready, with nobody's help. */
  readonly healedByItselfMs: number
}

const READS = 20
const WAIT_TIMEOUT_MS = 120_000
const MICROSECONDS_PER_SECOND = 1_000_000
const TAMPERED = 'tampered'

/** OpenBao dies. One node goes on reading, the other is started meanwhile and waits; then OpenBao is back. */
export async function tellOutage(world: KmsWorld, telling: Telling): Promise<OutageFigures> {
  const { signal, step, show } = telling
  const { bao, first, second } = world
  await step('kill -9 of OpenBao', async () => {
    bao.node.kill()
    await bao.node.process().exited
  })
  const { value: illness, tookMs: outageNoticedMs } = await step('the plugin says what is wrong', () =>
    untilReadyz(first.plugin, { isReady: false, signal }),
  )
  show([`cp-a, plugin /readyz: ${illness}`])
  const { value: readWithoutOpenBaoMs } = await step(`cp-a goes on: ${READS} reads, and a write`, async () => {
    await writeSecret(first.api, 'meanwhile', 'written without OpenBao')
    return await medianRead(world)
  })
  const tamperedDecryptRefusedMicroseconds = await tellTampering(world, telling)

  await step('cp-b is killed and started meanwhile: it waits', async () => {
    await killNode(second)
    await second.plugin.start()
    await second.api.start({ until: 'listening' })
  })
  const { value: said } = await step('cp-b says why it is not ready', () => whyNotReady(world, signal))
  show([`cp-b, kube-apiserver /readyz/kms-providers: ${said}`])
  const refused = await secretOf(second.api)
  show([`cp-b, GET of the Secret: ${refused.status} ${messageOf(refused)}`])
  if (refused.status !== 500) throw new LabError(`an API server without its key answers ${refused.status}`)

  await step('OpenBao is back', () => bao.node.start({ until: 'active' }))
  const { tookMs: healedByItselfMs } = await step('cp-b is ready and reads, nobody helped', async () => {
    await second.api.waitFor('ready', { signal })
    await expectSecret([second])
  })
  return {
    readWithoutOpenBaoMs,
    outageNoticedMs: Math.round(outageNoticedMs),
    tamperedDecryptRefusedMicroseconds,
    healedByItselfMs: Math.round(healedByItselfMs),
  }
}

/** A copy of the Secret in which one bit was changed is read again and again. */
async function tellTampering({ etcd, first }: KmsWorld, { step, show }: Telling): Promise<number> {
  const before = await refusedDecrypts(first.plugin)
  const { value: answer } = await step(
    `a copy of the Secret with one bit changed is refused ${READS} times; there is no OpenBao to ask`,
    async () => {
      await etcd.put(etcdKeyOf(TAMPERED), withBitFlipped(await storedSecret(etcd, SECRET.name)))
      try {
        for (let count = 1; count < READS; count += 1) await secretOf(first.api, TAMPERED)
        return await secretOf(first.api, TAMPERED)
      } finally {
        // An API server that starts reads all Secrets: one that cannot be decrypted would keep it from being ready.
        await etcd.etcdctl(['del', etcdKeyOf(TAMPERED)])
      }
    },
  )
  const after = await refusedDecrypts(first.plugin)
  show([`cp-a, GET of the copy: ${answer.status} ${messageOf(answer)}`])
  const calls = after.calls - before.calls
  if (answer.status !== 500 || calls < READS) throw new LabError('the plugin did not refuse the changed copy')
  return Math.round(((after.seconds - before.seconds) * MICROSECONDS_PER_SECOND) / calls)
}

/** What the second API server says at the check of its KMS providers, once it says our words. */
async function whyNotReady({ second }: KmsWorld, signal: AbortSignal): Promise<string> {
  return await waitUntil(
    async () => {
      const { status, text } = await second.api.request({ path: '/readyz/kms-providers' })
      // What follows is kube-apiserver's own, at length.
      return (
        status === 500 &&
        /got unexpected healthz status: KMS_BACKEND_UNAVAILABLE: .*?(?=, failed to |\]|$)/m.exec(text)?.[0]
      )
    },
    { what: 'cp-b to say that OpenBao is away', timeoutMs: WAIT_TIMEOUT_MS, intervalMs: 500, signal },
  )
}

async function medianRead({ first }: KmsWorld): Promise<number> {
  const tookMs: number[] = []
  for (let count = 0; count < READS; count += 1) {
    const startedAtMs = performance.now()
    await expectSecret([first])
    tookMs.push(performance.now() - startedAtMs)
  }
  tookMs.sort((a, b) => a - b)
  return Math.round((tookMs[READS / 2] ?? Number.NaN) * 10) / 10
}

async function secretOf(api: KmsWorld['first']['api'], name: string = SECRET.name): Promise<ApiResponse> {
  return await api.request({ path: `/api/v1/namespaces/default/secrets/${name}` })
}
