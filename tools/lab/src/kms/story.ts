import { PROVIDER_NAME, writeSecret } from '@sealwright/testing-kms'
import { startApiServer } from '@sealwright/testing-kubernetes'
import { LabError } from '../errors.ts'
import { hexdumpExcerpt } from '../hexdump.ts'
import { type Telling } from '../run-story.ts'
import { type OutageFigures, tellOutage } from './outage.ts'
import { type RotationFigures, tellRotation } from './rotation.ts'
import { expectSecret, isIntact, SECRET } from './secret.ts'
import { keyIdOf, storedSecret } from './stored.ts'
import { killControlPlane, type KmsWorld, startControlPlane } from './world.ts'

/** What the story proved and measured, as `--json` prints it. */
export interface KmsFigures extends OutageFigures, RotationFigures {
  readonly apiServers: number
  readonly kubernetesVersion: string
  readonly openbaoVersion: string
  /** Whether etcd held the value in clear, as an API server without encryption writes it. */
  readonly inClearWithoutPlugin: boolean
  /** The same of what an API server with our plugin writes. */
  readonly inClearWithPlugin: boolean
  readonly sameKeyIdOnAllNodes: boolean
  /** From starting etcd, plugins and API servers, all killed before, until all are ready. */
  readonly coldStartMs: number
  readonly secretIntact: boolean
}

const FIRST_LINES_IN_CLEAR = 3
const FIRST_LINES_ENCRYPTED = 8
/** More of them, by either node, so that there is something to be rewritten. */
const MORE_SECRETS = 10
const STORED_PREFIX = `k8s:enc:kms:v2:${PROVIDER_NAME}:`

/**
 * A Secret is encrypted, read by the other node, and read back after everything was killed; OpenBao fails; the key is rotated, and its
 * first version retired.
 *
 * @returns The figures. Anything that does not hold throws.
 */
export async function tellKmsStory(world: KmsWorld, telling: Telling): Promise<KmsFigures> {
  const { step, show } = telling
  const { etcd, first, second, nodes } = world
  const inClear = await tellInClear(world, telling)

  await step('the same Secret, written by cp-a: encrypted', () => writeSecret(first.api, SECRET.name, SECRET.value))
  const encrypted = await storedSecret(etcd, SECRET.name)
  show(hexdumpExcerpt(encrypted, FIRST_LINES_ENCRYPTED))
  if (!Buffer.from(encrypted).toString('latin1').startsWith(STORED_PREFIX)) {
    throw new LabError(`what etcd holds does not begin with ${STORED_PREFIX}`)
  }

  const { value: sameKeyIdOnAllNodes } = await step('cp-b reads it, and writes by the same key id', async () => {
    await expectSecret([second])
    for (let count = 1; count <= MORE_SECRETS; count += 1) {
      await writeSecret((count % 2 === 0 ? first : second).api, `more-${count}`, `number ${count}`)
    }
    return (await keyIdOf(etcd, 'more-1')) === (await keyIdOf(etcd, SECRET.name))
  })
  show([`key id on both nodes: ${await keyIdOf(etcd, SECRET.name)}`])
  if (!sameKeyIdOnAllNodes) throw new LabError('the nodes have different key ids')

  await step('kill -9 of both plugins, both API servers and etcd', () => killControlPlane(world))
  const { tookMs: coldStartMs } = await step('they are started again, and read it', async () => {
    await startControlPlane(world)
    await expectSecret(nodes)
  })

  const outage = await tellOutage(world, telling)
  const rotation = await tellRotation(world, telling)
  const secretIntact = await isIntact(nodes)
  if (!secretIntact) throw new LabError('the Secret did not survive')
  return {
    apiServers: nodes.length,
    ...(await versionsOf(world)),
    inClearWithoutPlugin: contains(inClear, SECRET.value),
    inClearWithPlugin: contains(encrypted, SECRET.value),
    sameKeyIdOnAllNodes,
    coldStartMs: Math.round(coldStartMs),
    ...outage,
    ...rotation,
    secretIntact,
  }
}

/** What etcd holds of the Secret where there is no encryption, which is how Kubernetes comes. */
async function tellInClear({ etcd, first }: KmsWorld, { folder, step, show }: Telling): Promise<Uint8Array> {
  await step('a Secret, written by an API server without encryption', async () => {
    const { identity } = first.api
    await using plain = await startApiServer({ directory: folder.join('plain'), name: 'plain', identity, etcd })
    await writeSecret(plain, SECRET.name, SECRET.value)
  })
  const stored = await storedSecret(etcd, SECRET.name)
  show(hexdumpExcerpt(stored, FIRST_LINES_IN_CLEAR, SECRET.value))
  return stored
}

function contains(bytes: Uint8Array, text: string): boolean {
  return Buffer.from(bytes).includes(text)
}

async function versionsOf({ bao, first }: KmsWorld): Promise<Pick<KmsFigures, 'kubernetesVersion' | 'openbaoVersion'>> {
  const { body: kubernetes } = await first.api.request({ path: '/version' })
  const { body: openbao } = await bao.node.request({ path: 'sys/seal-status' })
  return {
    kubernetesVersion: (kubernetes as { readonly gitVersion: string }).gitVersion,
    openbaoVersion: (openbao as { readonly version: string }).version,
  }
}
