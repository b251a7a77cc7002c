import { writeSecret } from '@sealwright/testing-kms'
import { waitUntil } from '@sealwright/testing-rig'
import { LabError } from '../errors.ts'
import { type Telling } from '../run-story.ts'
import { untilPhase } from './plugin-view.ts'
import { expectSecret, SECRET } from './secret.ts'
import { keyIdOf } from './stored.ts'
import { verifyRotation } from './verify-rotation.ts'
import { ACTIVATION_DELAY_MS, killControlPlane, type KmsWorld, startControlPlane } from './world.ts'

/** What a rotation of the transit key took. */
export interface RotationFigures {
  /** How old a version of the key has to be, by the configuration of the lab, before it encrypts. */
  readonly activationDelayMs: number
  /** From the rotation in OpenBao until the new version is active on all nodes. */
  readonly newVersionActiveAfterMs: number
  /** Between the first and the last node that made it active. */
  readonly activationSpreadMs: number
  /** From then until all API servers write by it: they ask each 20 s while readyz is polled, else once a minute. */
  readonly apiServersFollowedAfterMs: number
  readonly secretsRewritten: number
  readonly rewriteMs: number
  /** Secrets that `sealctl kms verify-rotation` found by the old version, in clear, or by whatever else, after the rewrite. */
  readonly secretsLeftBehind: number
  /** Secrets that all nodes read after the old version was retired and everything was killed. */
  readonly secretsReadAfterRetirement: number
}

const NEW_VERSION = 2
/** The one reason of `sealctl` that goes away by itself: some API server might not have heard of the new version yet. */
const TIME_ALONE = 'an API server may write by an older version until '
const FOLLOW_TIMEOUT_MS = 90_000
/** How often a kubelet looks at `/readyz` where kubeadm has set it up. */
const READYZ_INTERVAL_MS = 1_000

/** A new version of the key: pending, active, everything rewritten, the old one retired. */
export async function tellRotation(world: KmsWorld, { signal, step, show }: Telling): Promise<RotationFigures> {
  const { bao, etcd, first, nodes } = world
  const before = await keyIdOf(etcd, SECRET.name)
  await step('the transit key gets version 2', () => bao.rotate())
  const rotatedAtMs = Date.now()
  const phaseOnAll = async (phase: 'pending' | 'active'): Promise<readonly number[]> =>
    await Promise.all(nodes.map(({ plugin }) => untilPhase(plugin, { version: NEW_VERSION, phase, signal })))
  await step('both plugins see it: pending', () => phaseOnAll('pending'))
  const { value: activeAtMs } = await step(
    `both make it active once it is ${ACTIVATION_DELAY_MS / 1_000} s old (by default 5 min)`,
    () => phaseOnAll('active'),
  )
  const activationSpreadMs = Math.max(...activeAtMs) - Math.min(...activeAtMs)
  show([`between the two nodes: ${activationSpreadMs} ms`])
  await expectSecret(nodes)

  const { tookMs: followedMs } = await step(
    'both API servers ask for the key id and write by it; old Secrets are read',
    () => untilFollowed(world, before, signal),
  )
  const { value: secretsRewritten, tookMs: rewriteMs } = await step(
    'kubectl get secrets -A -o json | kubectl replace -f -',
    async () => {
      const all = await first.api.kubectl(['get', 'secrets', '-A', '-o', 'json'])
      const replaced = await first.api.kubectl(['replace', '-f', '-'], { stdin: all })
      return replaced.trim().split('\n').length
    },
  )
  if ((await keyIdOf(etcd, SECRET.name)) === before) throw new LabError('the Secret was not encrypted anew')
  const { value: survey } = await step('sealctl kms verify-rotation: which version does etcd still need?', () =>
    verifyRotation(world),
  )
  show(survey.lines)
  const { secretsByActiveVersion: secrets, secretsLeftBehind } = survey
  const objections = survey.reasons.filter(reason => !reason.startsWith(TIME_ALONE))
  if (secretsLeftBehind > 0 || objections.length > 0)
    throw new LabError(`version 1 must stay: ${survey.reasons.join('; ')}`)

  // An operator waits as long as sealctl says. Here both API servers were seen to write by the new version, and none survives what follows.
  if (survey.reasons.length > 0)
    show(['only time is missing: the lab has seen both API servers write by version 2, and goes on'])
  await step('version 1 is retired (min_decryption_version=2), kill -9 of everything, start', async () => {
    await bao.configure({ min_decryption_version: NEW_VERSION })
    await killControlPlane(world)
    bao.node.kill()
    await bao.node.process().exited
    await bao.node.start({ until: 'active' })
    await startControlPlane(world)
  })
  const { value: secretsReadAfterRetirement } = await step('every Secret is read by both nodes', () => readAll(world))
  if (secretsReadAfterRetirement !== secrets)
    throw new LabError(`${secretsReadAfterRetirement} of ${secrets} were read`)
  return {
    activationDelayMs: ACTIVATION_DELAY_MS,
    newVersionActiveAfterMs: Math.max(...activeAtMs) - rotatedAtMs,
    activationSpreadMs,
    apiServersFollowedAfterMs: Math.round(followedMs),
    secretsRewritten,
    rewriteMs: Math.round(rewriteMs),
    secretsLeftBehind,
    secretsReadAfterRetirement,
  }
}

/** Waits until each API server writes by another key id than `before`. */
async function untilFollowed({ etcd, nodes }: KmsWorld, before: string, signal: AbortSignal): Promise<void> {
  await Promise.all(
    nodes.map(async ({ api }) => {
      const name = `written-by-${api.name}`
      let count = 0
      await waitUntil(
        async waitSignal => {
          await api.health('readyz', waitSignal)
          await writeSecret(api, name, `look ${(count += 1)}`)
          return (await keyIdOf(etcd, name)) !== before
        },
        {
          what: `${api.name} to write by the new key`,
          timeoutMs: FOLLOW_TIMEOUT_MS,
          intervalMs: READYZ_INTERVAL_MS,
          signal,
        },
      )
    }),
  )
  await expectSecret(nodes)
}

/** How many Secrets there are that every node reads. */
async function readAll({ nodes }: KmsWorld): Promise<number> {
  await expectSecret(nodes)
  const counts = await Promise.all(
    nodes.map(async ({ api }) => {
      const { items } = JSON.parse(await api.kubectl(['get', 'secrets', '-A', '-o', 'json'])) as {
        readonly items: readonly { readonly metadata: { readonly name: string }; readonly data?: object }[]
      }
      return items.filter(({ data }) => data !== undefined && Object.keys(data).length > 0).length
    }),
  )
  return Math.min(...counts)
}
