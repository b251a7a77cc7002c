import { join } from 'node:path'
import {
  type ApiServer,
  createClusterIdentity,
  type Etcd,
  expectStatus,
  startApiServer,
  startEtcd,
} from '@sealwright/testing-kubernetes'
import { createPluginNode, type PluginNode, type PluginSettings } from './plugin-node.ts'

/** Name of the provider in the encryption configuration: it begins what etcd holds. */
export const PROVIDER_NAME = 'sealwright'

/** One machine of a control plane: an API server, and the plugin that it encrypts by. */
export interface ControlPlaneNode {
  readonly plugin: PluginNode
  readonly api: ApiServer
}

/** A real control plane whose Secrets are encrypted by our plugin: one etcd, and an API server with a plugin on each node. */
export interface KmsControlPlane extends AsyncDisposable {
  readonly etcd: Etcd
  readonly nodes: readonly [ControlPlaneNode, ...ControlPlaneNode[]]
}

export interface KmsControlPlaneOptions {
  /** With a short path. */
  readonly directory: string
  readonly names: readonly [string, ...string[]]
  /** Of each plugin's configuration. */
  readonly settings: PluginSettings & { readonly backend: Readonly<Record<string, unknown>> }
  /** Whether Secrets that are stored in clear are still read. */
  readonly readsPlaintext?: boolean
}

/** Starts all of it, and waits until it is ready. */
export async function createKmsControlPlane(options: KmsControlPlaneOptions): Promise<KmsControlPlane> {
  const { directory, names, settings, readsPlaintext = false } = options
  await using started = new AsyncDisposableStack()
  const identity = await createClusterIdentity({ directory: join(directory, 'pki') })
  const etcd = started.use(await startEtcd({ directory: join(directory, 'etcd') }))
  const startNode = async (name: string): Promise<ControlPlaneNode> => {
    const plugin = started.use(
      await createPluginNode({ directory: join(directory, name), name: `${name}-kms`, ...settings }),
    )
    await plugin.start()
    const kms = { name: PROVIDER_NAME, socketPath: plugin.socketPath }
    const api = started.use(
      await startApiServer({
        ...{ directory: join(directory, name), name: `${name}-api`, identity, etcd },
        // From 2 on it logs what a provider says.
        args: ['--v=2'],
        encryption: { providers: readsPlaintext ? [{ kms }, 'identity'] : [{ kms }] },
      }),
    )
    return { plugin, api }
  }
  const [first, ...others] = names
  const nodes: [ControlPlaneNode, ...ControlPlaneNode[]] = [await startNode(first)]
  for (const name of others) nodes.push(await startNode(name))
  const resources = started.move()
  return {
    ...{ etcd, nodes },
    [Symbol.asyncDispose]: async () => {
      await resources.disposeAsync()
    },
  }
}

const SECRETS = '/api/v1/namespaces/default/secrets'

/** Where etcd has a Secret of the namespace `default`. */
export function etcdKeyOf(name: string): string {
  return `/registry/secrets/default/${name}`
}

/** Writes a Secret with one value, or another value into it. */
export async function writeSecret(api: ApiServer, name: string, value: string): Promise<void> {
  const body = { apiVersion: 'v1', kind: 'Secret', metadata: { name }, stringData: { value } }
  const made = await api.request({ method: 'POST', path: SECRETS, body })
  if (made.status !== 409) {
    expectStatus(made, `a new Secret ${name}`, 201)
    return
  }
  expectStatus(await api.request({ method: 'PUT', path: `${SECRETS}/${name}`, body }), `Secret ${name}`, 200)
}

/** The value of a Secret. */
export async function readSecret(api: ApiServer, name: string): Promise<string> {
  const answer = await api.request({ path: `${SECRETS}/${name}` })
  expectStatus(answer, `a look at Secret ${name}`, 200)
  const { data } = answer.body as { readonly data: { readonly value: string } }
  return Buffer.from(data.value, 'base64').toString()
}

/** The key id by which etcd holds a value; null if it is not encrypted by our provider. */
export function storedKeyId(stored: Uint8Array): string | null {
  const text = Buffer.from(stored).toString('latin1')
  if (!text.startsWith(`k8s:enc:kms:v2:${PROVIDER_NAME}:`)) return null
  return /sealwright\.v1\.[\w-]{43}/.exec(text)?.[0] ?? null
}
