import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort, startProcess } from '@sealwright/testing-rig'
import { type ApiServer } from './api-server.ts'
import { isUnreachable, sendHttp } from './http.ts'
import { writeKubeconfig } from './identity.ts'
import { kubelabPath } from './kubelab.ts'
import { type Service, serviceControl } from './service.ts'

const NAME = 'kube-controller-manager'
const START_TIMEOUT_MS = 60_000
const REQUEST_TIMEOUT_MS = 5_000

/**
 * Starts kube-controller-manager and waits until it is healthy. It gives each namespace its `default` service account and the
 * ConfigMap `kube-root-ca.crt`, and ends namespaces that are deleted.
 *
 * @param options.directory - for its files and its log. Made (0700) when missing.
 * @throws {@link RigError} `RIG_PROCESS_ENDED` with the end of its log, `RIG_TIMEOUT`, `RIG_CANCELLED`, `RIG_TOOL_MISSING`.
 */
export async function startControllerManager(options: {
  readonly directory: string
  readonly apiServer: ApiServer
  readonly signal?: AbortSignal
}): Promise<Service> {
  const { directory, apiServer, signal } = options
  const { identity, url } = apiServer
  const port = await freePort()
  const kubeconfigPath = join(directory, `${NAME}.kubeconfig`)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  await writeKubeconfig({ path: kubeconfigPath, url, user: 'controllerManager', identity })
  const certificate = await identity.authority.issue({ name: NAME, usage: 'server' })
  const { service, start } = serviceControl({
    name: NAME,
    logPath: join(directory, `${NAME}.log`),
    launch: async () =>
      await startProcess({
        name: NAME,
        command: kubelabPath(),
        args: [
          NAME,
          `--kubeconfig=${kubeconfigPath}`,
          '--bind-address=127.0.0.1',
          `--secure-port=${port}`,
          `--tls-cert-file=${certificate.certificatePath}`,
          `--tls-private-key-file=${certificate.privateKeyPath}`,
          '--leader-elect=false',
          '--use-service-account-credentials',
          `--service-account-private-key-file=${identity.serviceAccountKeyPath}`,
          `--root-ca-file=${identity.authority.certificatePath}`,
        ],
        logDirectory: directory,
      }),
  })
  await start(async process => {
    const isHealthy = async (limit: AbortSignal): Promise<boolean> => {
      try {
        const caPem = identity.authority.certificatePem
        const healthz = new URL(`https://127.0.0.1:${port}/healthz`)
        return (await sendHttp({ url: healthz, caPem, timeoutMs: REQUEST_TIMEOUT_MS, signal: limit })).status === 200
      } catch (error) {
        if (isUnreachable(error)) return false
        throw error
      }
    }
    await process.waitFor(isHealthy, {
      what: `${NAME} to be healthy`,
      timeoutMs: START_TIMEOUT_MS,
      ...(signal === undefined ? {} : { signal }),
    })
  })
  return service
}
