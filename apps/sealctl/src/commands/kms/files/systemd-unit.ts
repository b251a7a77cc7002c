import { type KmsConfig } from '@sealwright/kms-config'
import { KmsCommandError } from '../errors.ts'
import { assertOwnFolders, foldersOf } from './paths.ts'

const RUN = '/run/'
const STATE = '/var/lib/'
/** What the unit hides from the plugin, by which of its lines. */
const HIDDEN = [
  ['/home', 'ProtectHome=yes'],
  ['/root', 'ProtectHome=yes'],
  ['/run/user', 'ProtectHome=yes'],
  ['/tmp', 'PrivateTmp=yes'],
  ['/var/tmp', 'PrivateTmp=yes'],
] as const

/**
 * A unit that starts the plugin before the kubelet, with next to no rights.
 *
 * @param configPath - of the configuration; absolute.
 * @throws {@link KmsCommandError} `KMS_COMMAND_FOLDER_UNFIT`.
 */
export function renderSystemdUnit(config: KmsConfig, configPath: string): string {
  const { read, sockets, state } = foldersOf(config, configPath)
  for (const folder of [...read, ...modulesOf(config), ...sockets, ...state]) assertNotHidden(folder)
  assertOwnFolders([...sockets, ...state])
  const below = (root: string, folders: readonly string[]): readonly string[] =>
    folders.filter(folder => folder.startsWith(root)).map(folder => folder.slice(root.length))
  const elsewhere = [
    ...sockets.filter(folder => !folder.startsWith(RUN)),
    ...state.filter(folder => !folder.startsWith(STATE)),
  ]
  const [runtime, stateful] = [below(RUN, sockets), below(STATE, state)]
  const isForOthers = config.socket.userId !== undefined || config.socket.groupId !== undefined
  const seals = config.backend.type === 'keyring' ? config.backend.seals.filter(({ disabled }) => !disabled) : []
  const hasTpm = seals.some(({ type }) => type === 'tpm')
  const hasModule = seals.some(({ type }) => type === 'pkcs11')
  const capabilities = [...(isForOthers ? ['CAP_CHOWN'] : []), ...(hasTpm || hasModule ? ['CAP_DAC_OVERRIDE'] : [])]
  const lines = [
    '# The KMS plugin of this control-plane node. Put it into /etc/systemd/system; see deploy/kms/README.md.',
    '[Unit]',
    `Description=Sealwright KMS plugin: encrypts the Secrets of kube-apiserver (cluster ${config.clusterId})`,
    `Documentation=file:${configPath}`,
    'Wants=network-online.target',
    'After=network-online.target local-fs.target',
    '# The API server, which the kubelet starts, reads no Secret before the plugin answers.',
    'Before=kubelet.service',
    '# However often it ends, it is started again.',
    'StartLimitIntervalSec=0',
    '',
    '[Service]',
    'Type=exec',
    `ExecStart=/usr/local/bin/kms-plugin --config ${configPath}`,
    'Restart=always',
    'RestartSec=1',
    '# It answers what is under way for up to 5 s.',
    'TimeoutStopSec=15',
    '# Ways into a Node process, and around its checks of certificates.',
    'UnsetEnvironment=NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED SSL_CERT_FILE SSL_CERT_DIR',
    '# What is freed is overwritten: seeds pass through buffers that nobody else can wipe. One arena holds less of it.',
    'Environment=GLIBC_TUNABLES=glibc.malloc.perturb=90:glibc.malloc.arena_max=1',
    '',
    ...(runtime.length === 0
      ? []
      : [
          `RuntimeDirectory=${runtime.join(' ')}`,
          isForOthers
            ? '# 0711: the API server, as another user, must get through to its socket; it cannot list what is here.'
            : '# Root alone, as whom kubeadm runs the API server.',
          `RuntimeDirectoryMode=${isForOthers ? '0711' : '0700'}`,
          '# The pod of the API server has this very folder mounted: a new one in its place would never get there.',
          'RuntimeDirectoryPreserve=yes',
        ]),
    ...(stateful.length === 0 ? [] : [`StateDirectory=${stateful.join(' ')}`, 'StateDirectoryMode=0700']),
    ...(elsewhere.length === 0
      ? []
      : ['# They must be there, and belong to root.', `ReadWritePaths=${elsewhere.join(' ')}`]),
    'UMask=0077',
    '',
    '# No key in a core file, in swap, or in the hands of another program.',
    'LimitCORE=0',
    'MemorySwapMax=0',
    'LimitMEMLOCK=0',
    'NoNewPrivileges=yes',
    ...(capabilities.length === 0
      ? ['# None: root’s files and folders are enough.']
      : [
          `# ${[isForOthers ? 'CHOWN for socket.userId and groupId' : '', hasTpm || hasModule ? 'DAC_OVERRIDE since devices belong to groups of their own' : ''].filter(reason => reason !== '').join('; ')}.`,
        ]),
    `CapabilityBoundingSet=${capabilities.join(' ')}`,
    'AmbientCapabilities=',
    'ProtectSystem=strict',
    'ProtectHome=yes',
    'PrivateTmp=yes',
    ...(hasModule ? ['# A token on USB needs a line more, such as: DeviceAllow=char-usb_device rw'] : []),
    ...(hasTpm || hasModule ? [] : ['PrivateDevices=yes']),
    'DevicePolicy=closed',
    ...(hasTpm ? ['DeviceAllow=/dev/tpmrm0 rw', 'DeviceAllow=char-tpm rw'] : []),
    'ProtectKernelTunables=yes',
    'ProtectKernelModules=yes',
    'ProtectKernelLogs=yes',
    'ProtectControlGroups=yes',
    'ProtectClock=yes',
    'ProtectHostname=yes',
    'ProtectProc=invisible',
    'RemoveIPC=yes',
    'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
    'RestrictNamespaces=yes',
    'RestrictRealtime=yes',
    'RestrictSUIDSGID=yes',
    'LockPersonality=yes',
    'SystemCallArchitectures=native',
    '# Not MemoryDenyWriteExecute: Node compiles at run time.',
    'SystemCallFilter=@system-service',
    `SystemCallFilter=~@privileged @resources${isForOthers ? '' : ' @chown'}`,
    ...(isForOthers ? ['SystemCallFilter=@chown'] : []),
    'SystemCallErrorNumber=EPERM',
    '',
    '[Install]',
    'WantedBy=multi-user.target',
  ]
  return `${lines.join('\n')}\n`
}

/** Libraries of tokens, as they are read. */
function modulesOf({ backend }: KmsConfig): readonly string[] {
  if (backend.type === 'transit') return []
  return backend.seals.flatMap(seal => (seal.type === 'pkcs11' && !seal.disabled ? [seal.module] : []))
}

function assertNotHidden(path: string): void {
  const found = HIDDEN.find(([folder]) => path === folder || path.startsWith(`${folder}/`))
  if (found === undefined) return
  throw new KmsCommandError(
    'KMS_COMMAND_FOLDER_UNFIT',
    `${path}: ${found[1]} of the unit hides ${found[0]} from the plugin: keep it elsewhere, files in /etc/sealwright for example`,
  )
}
