import { type KmsConfig } from '@sealwright/kms-config'
import { SealctlError } from '../../../errors.ts'

/** How kube-apiserver shall use the plugin. */
export interface EncryptionConfigOptions {
  /** Of the provider: it begins whatever is stored, and must never change. */
  readonly name: string
  /** Beside Secrets, or wildcards in their place. */
  readonly resources: readonly string[]
  /** Without `identity`: nothing is left in clear. */
  readonly isFinal: boolean
}

/** Of one call. Above the plugin's own deadline: else nobody would hear what is wrong. */
export const KUBE_TIMEOUT_SECONDS = 3

const RESOURCE = /^(?:\*\.\*|(?:\*|[a-z0-9]+)(?:\.[a-z0-9-]+)*\.?)$/
const NAME = /^[A-Za-z0-9._-]{1,63}$/

/**
 * An `EncryptionConfiguration` for the API servers: `secrets` first by the plugin, then what is still in clear.
 *
 * @throws {@link SealctlError} `SEALCTL_USAGE` for a name or resource that kube-apiserver would refuse.
 * @see https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/
 */
export function renderEncryptionConfig(config: KmsConfig, options: EncryptionConfigOptions): string {
  const { name, isFinal } = options
  if (!NAME.test(name)) throw usage('--name must be 1 to 63 of A-Z, a-z, 0-9, ".", "_" and "-"')
  const lines = [
    `# For the API servers of the cluster ${config.clusterId}, on each control-plane node, mode 0600:`,
    '#   --encryption-provider-config=/etc/kubernetes/encryption.yaml --encryption-provider-config-automatic-reload=true',
    '# With the second option a change is taken over within a minute, without a restart. First add the provider as the last one on all',
    '# nodes, then put it first: an API server must be able to read what another one has written already.',
    'apiVersion: apiserver.config.k8s.io/v1',
    'kind: EncryptionConfiguration',
    'resources:',
    '  - resources:',
    ...resourcesOf(options.resources).map(
      resource => `      - ${resource.startsWith('*') ? `'${resource}'` : resource}`,
    ),
    '    providers:',
    '      - kms:',
    '          apiVersion: v2',
    '          # Stands before whatever is stored: never change it.',
    `          name: ${name}`,
    `          endpoint: unix://${config.socket.path}`,
    `          timeout: ${KUBE_TIMEOUT_SECONDS}s`,
    ...(isFinal
      ? []
      : [
          '      # Reads what is stored in clear. Take it away (sealctl kms encryption-config --final) once sealctl kms verify-rotation',
          '      # says that nothing is.',
          '      - identity: {}',
        ]),
  ]
  return `${lines.join('\n')}\n`
}

/** `secrets`, and what else is asked for; wildcards that have Secrets in them stand alone, as kube-apiserver wants it. */
function resourcesOf(asked: readonly string[]): readonly string[] {
  for (const resource of asked) {
    if (resource === '*' || !RESOURCE.test(resource)) {
      throw usage(
        `--resource ${resource} is none: name one as in configmaps, ingresses.networking.k8s.io, '*.' or '*.*'`,
      )
    }
  }
  const isInCore = (resource: string): boolean => !resource.replace(/\.$/, '').includes('.')
  const resources = [...new Set(asked.map(resource => (resource === '*.' ? resource : resource.replace(/\.$/, ''))))]
  if (resources.includes('*.*')) {
    if (resources.length > 1) throw usage("--resource '*.*' is everything: leave the others out")
    return resources
  }
  if (resources.includes('*.')) {
    const masked = resources.filter(resource => resource !== '*.' && isInCore(resource))
    if (masked.length > 0)
      throw usage(`--resource '*.' is all of the core group, ${masked.join(', ')} too: leave it out`)
    return resources
  }
  return [...new Set(['secrets', ...resources])]
}

function usage(message: string): SealctlError {
  return new SealctlError('SEALCTL_USAGE', message)
}
