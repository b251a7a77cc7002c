import {
  type ControlPlaneNode,
  createKmsControlPlane,
  startTransitOpenBao,
  type TransitOpenBao,
} from '@sealwright/testing-kms'
import { type Etcd } from '@sealwright/testing-kubernetes'
import { type StartedProcess } from '@sealwright/testing-rig'
import { LabError } from '../errors.ts'
import { type Telling } from '../run-story.ts'

/** An OpenBao with a transit key, and a control plane of two nodes whose plugins use it. */
export interface KmsWorld extends AsyncDisposable {
  readonly bao: TransitOpenBao
  readonly etcd: Etcd
  readonly first: ControlPlaneNode
  readonly second: ControlPlaneNode
  /** Both of them. */
  readonly nodes: readonly ControlPlaneNode[]
}

/** Minutes by default. In a lab nobody waits so long, and what happens is the same. */
export const ACTIVATION_DELAY_MS = 6_000
const SETTINGS = {
  rotation: { stableObservations: 3, activationDelayMs: ACTIVATION_DELAY_MS },
  probe: { intervalMs: 500, retryIntervalMs: 250 },
}

/** Starts all of it, and waits until it is ready. */
export async function createKmsWorld({ folder, step }: Telling): Promise<KmsWorld> {
  await using started = new AsyncDisposableStack()
  const { value: bao } = await step(
    'OpenBao starts; it gets a transit key, and a token that may use nothing else',
    () => startTransitOpenBao({ directory: folder.join('bao') }),
  )
  started.use(bao)
  const { value: plane } = await step('etcd, and two nodes, each with our plugin and a kube-apiserver', () =>
    createKmsControlPlane({
      ...{ directory: folder.path, names: ['cp-a', 'cp-b'], readsPlaintext: true },
      settings: { ...SETTINGS, backend: bao.backend() },
    }),
  )
  started.use(plane)
  const { etcd, nodes } = plane
  const [first, second] = nodes
  if (second === undefined) throw new LabError('the control plane has one node')
  // The data are thrown away: nothing has to end in order.
  started.defer(async () => {
    await killAll(processesOf({ etcd, nodes }))
  })
  const resources = started.move()
  return {
    ...{ bao, etcd, first, second, nodes },
    [Symbol.asyncDispose]: async () => {
      await resources.disposeAsync()
    },
  }
}

/** `kill -9` of all plugins, API servers and etcd, and their end. */
export async function killControlPlane(world: Pick<KmsWorld, 'etcd' | 'nodes'>): Promise<void> {
  await killAll(processesOf(world))
}

/** Starts what {@link killControlPlane} has ended, as an init system would, and waits until all of it is ready. */
export async function startControlPlane({ etcd, nodes }: Pick<KmsWorld, 'etcd' | 'nodes'>): Promise<void> {
  await etcd.start()
  await Promise.all(
    nodes.map(async ({ plugin, api }) => {
      await plugin.start()
      await api.start()
    }),
  )
}

/** `kill -9` of one node's API server and plugin, and their end. */
export async function killNode({ plugin, api }: ControlPlaneNode): Promise<void> {
  await killAll([api.process(), plugin.process()])
}

function processesOf({ etcd, nodes }: Pick<KmsWorld, 'etcd' | 'nodes'>): readonly StartedProcess[] {
  return [...nodes.flatMap(({ api, plugin }) => [api.process(), plugin.process()]), etcd.process()]
}

async function killAll(processes: readonly StartedProcess[]): Promise<void> {
  for (const each of processes) each.kill('SIGKILL')
  await Promise.all(processes.map(({ exited }) => exited))
}
