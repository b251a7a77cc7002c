import { resolve } from 'node:path'
import { type KmsConfig } from '@sealwright/kms-config'
import { SealctlError } from '../../../errors.ts'
import { KmsCommandError } from '../errors.ts'
import { assertOwnFolders, foldersOf } from './paths.ts'

/** Stands where an image has to be named. */
export const IMAGE_PLACEHOLDER = `registry.example.org/sealwright/kms-plugin@sha256:${'0'.repeat(64)}`

const DEFAULT_POD_NAME = 'sealwright-kms'

/** A name of Kubernetes, short enough to have that of a node behind it. */
const NAME = /^[a-z0-9](?:[a-z0-9-]{0,51}[a-z0-9])?$/
const IMAGE = /^[a-z0-9][A-Za-z0-9._/:-]*@sha256:[0-9a-f]{64}$/

interface Mount {
  readonly name: string
  readonly path: string
  readonly isReadOnly: boolean
  /** Whether the kubelet may make the folder, open to all as it makes them (0755). */
  readonly mayBeMade: boolean
}

/**
 * The manifest of a static pod. The kubelet starts it without any API server.
 *
 * @param options.image - by its digest: a tag may become another program overnight, and needs a registry that answers.
 * @param options.name - of the pod: the kubelet runs one of two with the same.
 * @throws {@link SealctlError} `SEALCTL_USAGE`; {@link KmsCommandError} `KMS_COMMAND_NO_STATIC_POD`, `KMS_COMMAND_FOLDER_UNFIT`.
 */
export function renderStaticPod(
  config: KmsConfig,
  {
    image,
    name = DEFAULT_POD_NAME,
    configPath,
  }: { readonly image: string; readonly name?: string; readonly configPath: string },
): string {
  if (!NAME.test(name))
    throw new SealctlError('SEALCTL_USAGE', '--name must be 1 to 53 of a-z, 0-9 and "-", such as sealwright-kms-2')
  if (!IMAGE.test(image))
    throw new SealctlError('SEALCTL_USAGE', '--image must name the image by its digest: NAME@sha256:…')
  assertNoDevices(config)
  const { read, sockets, state } = foldersOf(config, configPath)
  assertOwnFolders([...read, ...sockets, ...state])
  const store = config.backend.type === 'keyring' ? resolve(config.backend.store) : undefined
  const mayBeMade = (folder: string): boolean => store === undefined || !`${store}/`.startsWith(`${folder}/`)
  const named = (kind: string, folders: readonly string[]): readonly Mount[] =>
    folders.map((path, index) => ({
      ...{ name: index === 0 ? kind : `${kind}-${index + 1}`, path },
      ...{ isReadOnly: kind === 'config', mayBeMade: kind !== 'config' && mayBeMade(path) },
    }))
  const mounts = [...named('config', read), ...named('sockets', sockets), ...named('state', state)]
  const probe = (path: string): readonly string[] => [
    '        exec:',
    '          command:',
    '            - node',
    '            - -e',
    `            - "${askStatus(config.statusSocket, path)}"`,
  ]
  const lines = [
    '# The KMS plugin as a static pod: into /etc/kubernetes/manifests of each control-plane node; see deploy/kms/README.md.',
    '# Load the image on each node beforehand: no registry has to answer when a node starts.',
    '# Never a DaemonSet: that waits for the API server, which waits for this plugin.',
    ...(store === undefined
      ? []
      : [
          `# The store of the keyring has to be there beforehand: install -d -m 0700 ${store}`,
          '# The image needs the program flock (util-linux) for it.',
        ]),
    'apiVersion: v1',
    'kind: Pod',
    'metadata:',
    `  name: ${name}`,
    '  namespace: kube-system',
    '  labels:',
    `    component: ${name}`,
    '    tier: control-plane',
    'spec:',
    '  # Before the network of pods is up, which needs the API server.',
    '  hostNetwork: true',
    '  dnsPolicy: Default',
    '  priorityClassName: system-node-critical',
    '  restartPolicy: Always',
    '  terminationGracePeriodSeconds: 15',
    '  automountServiceAccountToken: false',
    '  enableServiceLinks: false',
    '  securityContext:',
    '    seccompProfile:',
    '      type: RuntimeDefault',
    '  containers:',
    '    - name: kms-plugin',
    `      image: ${image}`,
    '      imagePullPolicy: IfNotPresent',
    '      args:',
    '        - --config',
    `        - ${configPath}`,
    '      env:',
    '        # A way into a Node process.',
    '        - name: NODE_OPTIONS',
    "          value: ''",
    '        # What is freed is overwritten: seeds pass through buffers that nobody else can wipe. One arena holds less of it.',
    '        - name: GLIBC_TUNABLES',
    '          value: glibc.malloc.perturb=90:glibc.malloc.arena_max=1',
    '      resources:',
    '        requests:',
    '          cpu: 50m',
    '          memory: 128Mi',
    '        limits:',
    '          memory: 512Mi',
    '      # Root, to read files of mode 0600, and nothing of what else root may do.',
    '      securityContext:',
    '        runAsUser: 0',
    '        runAsGroup: 0',
    '        privileged: false',
    '        allowPrivilegeEscalation: false',
    '        readOnlyRootFilesystem: true',
    '        capabilities:',
    ...(config.socket.userId === undefined && config.socket.groupId === undefined
      ? ['          drop: [ALL]']
      : ['          drop: [ALL]', '          # For socket.userId and groupId.', '          add: [CHOWN]']),
    '      # That it runs. An outage of OpenBao is no reason to start it again.',
    '      livenessProbe:',
    ...probe('/healthz'),
    '        initialDelaySeconds: 10',
    '        periodSeconds: 30',
    '        timeoutSeconds: 10',
    '        failureThreshold: 4',
    '      # That its key works.',
    '      readinessProbe:',
    ...probe('/readyz'),
    '        periodSeconds: 30',
    '        timeoutSeconds: 10',
    '      volumeMounts:',
    ...mounts.flatMap(({ name: volume, path, isReadOnly }) => [
      `        - name: ${volume}`,
      `          mountPath: ${path}`,
      ...(isReadOnly ? ['          readOnly: true'] : []),
    ]),
    '  volumes:',
    ...mounts.flatMap(({ name: volume, path, mayBeMade: orMade }) => [
      `    - name: ${volume}`,
      '      hostPath:',
      `        path: ${path}`,
      `        type: ${orMade ? 'DirectoryOrCreate' : 'Directory'}`,
    ]),
  ]
  return `${lines.join('\n')}\n`
}

/** Ends with 0 if the status socket answers 200. The image has no other program than Node. */
function askStatus(socketPath: string, path: string): string {
  return `require('http').get({ socketPath: '${socketPath}', path: '${path}' }, r => process.exit(r.statusCode === 200 ? 0 : 1)).on('error', () => process.exit(1))`
}

/** A container gets devices of the host only with all rights, and no module of a vendor. */
function assertNoDevices({ backend }: KmsConfig): void {
  if (backend.type === 'transit') return
  const needy = backend.seals.filter(({ type, disabled }) => !disabled && (type === 'tpm' || type === 'pkcs11'))
  if (needy.length === 0) return
  throw new KmsCommandError(
    'KMS_COMMAND_NO_STATIC_POD',
    `${needy.map(({ name }) => name).join(', ')}: a container reaches a TPM or token only with all rights of the host; run the plugin by sealctl kms systemd-unit instead`,
  )
}
