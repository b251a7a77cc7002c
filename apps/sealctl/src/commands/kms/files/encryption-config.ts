import { type KmsConfig } from '@sealwright/kms-config'
import { usageError } from '../../../errors.ts'
import { problemOfResources } from '../encryption/rules.ts'

/** How kube-apiserver shall use the plugin, where it encrypts nothing yet. */
export interface EncryptionConfigOptions {
  /** Of the provider: it begins whatever is stored, and must never change. */
  readonly name: string
  /** Beside Secrets, or wildcards in their place. */
  readonly resources: readonly string[]
  /** Whether the plugin encrypts already, or only decrypts what another API server has encrypted. */
  readonly stage: 'first' | 'last'
}

/** Of one call. Above the plugin's own deadline: else nobody would hear what is wrong. */
export const KUBE_TIMEOUT_SECONDS = 3

/** Of the head of such a file: it holds until the plugin is taken out. */
export const ROUNDS_REMARK =
  '# All API servers get the plugin as the last provider before any gets it as the first one: each must be able to read what another one writes.'

const RESOURCE = /^(?:\*\.\*|(?:\*|[a-z0-9]+)(?:\.[a-z0-9-]+)*\.?)$/
const NAME = /^[A-Za-z0-9._-]{1,63}$/

/**
 * An `EncryptionConfiguration` for the API servers: `secrets` first by the plugin, then what is still in clear.
 *
 * @throws {@link SealctlError} `SEALCTL_USAGE` for a name or resource that kube-apiserver would refuse.
 * @see https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/
 */
export function renderEncryptionConfig(config: KmsConfig, options: EncryptionConfigOptions): string {
  const { name, stage } = options
  assertProviderName(name)
  const kms = [
    '      - kms:',
    '          apiVersion: v2',
    '          # Stands before whatever is stored: never change it.',
    `          name: ${name}`,
    `          endpoint: unix://${config.socket.path}`,
    `          timeout: ${KUBE_TIMEOUT_SECONDS}s`,
  ]
  // Behind it, not before: there it would stay with whatever comes first in the list.
  const identity = [
    '      - identity: {} # reads what is stored in clear; the last step takes it away: encryption-config --final',
  ]
  const lines = [
    `# For the API servers of the cluster ${config.clusterId}, on each control-plane node, mode 0600:`,
    '#   --encryption-provider-config=/etc/kubernetes/encryption/config.yaml --encryption-provider-config-automatic-reload=true',
    '# With the second option a change is taken over within a minute, without a restart.',
    ROUNDS_REMARK,
    'apiVersion: apiserver.config.k8s.io/v1',
    'kind: EncryptionConfiguration',
    'resources:',
    '  - resources:',
    ...resourcesOf(options.resources).map(
      resource => `      - ${resource.startsWith('*') ? `'${resource}'` : resource}`,
    ),
    '    providers:',
    ...(stage === 'first' ? [...kms, ...identity] : [...identity, ...kms]),
  ]
  return `${lines.join('\n')}\n`
}

/** @throws {@link SealctlError} `SEALCTL_USAGE`. */
export function assertProviderName(name: string): void {
  if (!NAME.test(name)) throw usageError('--name must be 1 to 63 of A-Z, a-z, 0-9, ".", "_" and "-"')
}

/** The resources that were asked for, as they are written. @throws {@link SealctlError} `SEALCTL_USAGE`. */
export function normalResources(asked: readonly string[]): readonly string[] {
  for (const resource of asked) {
    const problem = problemOfResources([resource])
    if (problem !== undefined) throw usageError(`--resource ${problem}`)
    if (!RESOURCE.test(resource)) {
      throw usageError(
        `--resource ${resource} is none: name one as in configmaps, ingresses.networking.k8s.io, '*.' or '*.*'`,
      )
    }
  }
  return [...new Set(asked.map(resource => (resource === '*.' ? resource : resource.replace(/\.$/, ''))))]
}

/** `secrets`, and what else is asked for; wildcards that have Secrets in them stand in their place. */
function resourcesOf(asked: readonly string[]): readonly string[] {
  const named = normalResources(asked)
  const hasSecrets = named.some(resource => ['secrets', '*.', '*.*'].includes(resource))
  const resources = hasSecrets ? named : ['secrets', ...named]
  const problem = problemOfResources(resources)
  if (problem !== undefined) throw usageError(`--resource: ${problem}`)
  return resources
}
