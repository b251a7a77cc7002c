import { writeFile } from 'node:fs/promises'
import { relative } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { etcdKeyOf, KMS_KEY } from '@sealwright/testing-kms'
import { kubelabPath } from '@sealwright/testing-kubernetes'
import { openBaoPath, repositoryRoot } from '@sealwright/testing-rig'
import { type Telling } from '../run-story.ts'
import { SECRET } from './secret.ts'
import { type KmsWorld } from './world.ts'

const LOOK_INTERVAL_MS = 500
/** So long does OpenBao stay away when somebody kills it: long enough to see what that does. */
const OPENBAO_AWAY_MS = 60_000

/** Prints how to use all of it by hand, then starts again what somebody kills, and tells each change, until the signal is aborted. */
export async function keepKmsAlive(world: KmsWorld, telling: Telling): Promise<void> {
  const { signal } = telling
  const tokenPath = telling.folder.join('root-token')
  await writeFile(tokenPath, world.bao.rootToken, { mode: 0o600 })
  const write = (line: string): void => {
    process.stdout.write(`${line}\n`)
  }
  write(byHand(world, tokenPath).join('\n'))
  try {
    await watch(world, signal, line => {
      write(`${new Date().toISOString().slice(11, 19)}  ${line}`)
    })
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

/** Commands to be pasted into a shell in the repository. */
function byHand({ bao, etcd, first, second }: KmsWorld, tokenPath: string): readonly string[] {
  const kubelab = relative(repositoryRoot(), kubelabPath())
  const openbao = relative(repositoryRoot(), openBaoPath())
  const sealctl = 'node_modules/.bin/node apps/sealctl/dist/main.mjs kms'
  return [
    'All of it stays up. Kill what you like and watch; Ctrl-C ends everything.',
    `  export KUBECONFIG=${first.api.kubeconfigPath} ETCDCTL_ENDPOINTS=${etcd.endpoint}`,
    `  export BAO_ADDR=${bao.node.apiAddress} BAO_TOKEN=$(cat ${tokenPath})`,
    `  ${kubelab} kubectl create secret generic mine --from-literal=password=swordfish`,
    `  ${kubelab} etcdctl get ${etcdKeyOf('mine')} --print-value-only | od -A x -t x1z | head -8`,
    `  ${kubelab} kubectl --kubeconfig ${second.api.kubeconfigPath} get secret ${SECRET.name} -o yaml`,
    `  ${kubelab} kubectl get --raw /readyz/kms-providers`,
    `  ${sealctl} verify-key --config ${first.plugin.configPath}`,
    `  ${sealctl} verify-rotation --config ${first.plugin.configPath} --etcd ${etcd.endpoint}`,
    `  ${openbao} write -f transit/keys/${KMS_KEY}/rotate`,
    `  ${kubelab} kubectl get secrets -A -o json | ${kubelab} kubectl replace -f -`,
    '',
  ]
}

async function watch(world: KmsWorld, signal: AbortSignal, write: (line: string) => void): Promise<void> {
  const shown = new Map<string, string>()
  let openBaoMissedAtMs: number | undefined
  while (!signal.aborted) {
    const { bao, etcd, nodes } = world
    if (bao.node.process().end() === undefined) openBaoMissedAtMs = undefined
    else if (openBaoMissedAtMs === undefined) {
      openBaoMissedAtMs = performance.now()
      write(`OpenBao ended; it is started again in ${OPENBAO_AWAY_MS / 1_000} s`)
    } else if (performance.now() - openBaoMissedAtMs > OPENBAO_AWAY_MS) {
      write('OpenBao is started again')
      await bao.node.start({ until: 'nothing' })
    }
    if (etcd.process().end() !== undefined) {
      write('etcd ended; it is started again')
      await etcd.start()
    }
    for (const { plugin, api } of nodes) {
      if (plugin.process().end() !== undefined) {
        write(`${plugin.name} ended; it is started again`)
        await plugin.start({ until: 'nothing' })
      }
      if (api.process().end() !== undefined) {
        write(`${api.name} ended; it is started again`)
        await api.start({ until: 'nothing' })
      }
      for (const [name, pid, state] of [
        [plugin.name, plugin.process().pid, await answerOf(async () => (await plugin.ask('/readyz')).text.trim())],
        [api.name, api.pid(), await answerOf(() => api.state(signal))],
      ] as const) {
        const line = `${name} (${pid}): ${state}`
        if (shown.get(name) !== line) write(line)
        shown.set(name, line)
      }
    }
    await delay(LOOK_INTERVAL_MS, undefined, { signal })
  }
}

/** What somebody says who may have been killed a moment ago. */
async function answerOf(ask: () => Promise<string>): Promise<string> {
  try {
    return await ask()
  } catch {
    return 'does not answer' // the next look tells more
  }
}
