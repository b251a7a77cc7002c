import { stat } from 'node:fs/promises'
import { type ClientRequest, request } from 'node:http'
import { dirname } from 'node:path'
import { type KmsConfig } from '@sealwright/kms-config'
import { randomKeyBytes, Secret } from '@sealwright/secret'
import { errorCodeOf } from '@sealwright/system-error'
import { KmsCommandError, PluginRefusal } from '../errors.ts'
import { pluginClient, type PluginClient } from '../plugin/client.ts'
import { readPluginState } from '../plugin-state.ts'
import { type Check, failed, note, passed, skipped, warning, wordsOf } from './check.ts'

/** As kube-apiserver gives it by default. */
const CALL_TIMEOUT_MS = 3_000
/** As many as a seed of kube-apiserver has. */
const SEED_BYTES = 32
const S_IRWXO = 0o007
const S_IWGO = 0o022
const PERMISSIONS = 0o777
const OK = 200
const MAX_QUOTED_CHARS = 500

const READ_LOG = 'it runs, and refuses: see the checks of the backend below, and the log of the plugin'
const START_IT = 'start the plugin (systemctl start sealwright-kms, or its static pod), and read its log'

/** What the running plugin of this node does, asked as kube-apiserver asks it. */
export interface PluginChecks {
  readonly checks: readonly Check[]
  /** By which it encrypts; undefined if it does not answer. */
  readonly keyId: string | undefined
}

export async function checkPlugin(config: KmsConfig, signal: AbortSignal): Promise<PluginChecks> {
  const { socket, statusSocket } = config
  using client = pluginClient({ socketPath: socket.path, timeoutMs: CALL_TIMEOUT_MS, signal })
  const mode = await checkSocketMode(config)
  const rest = [await checkStatusSocket(statusSocket, signal), await checkState(config)]
  try {
    const { version, healthz, keyId } = await client.status()
    const answers = passed('socket-answers', `${socket.path}: version ${version}, key ${keyId}`)
    return { keyId, checks: [answers, mode, checkHealth(healthz), ...(await checkCalls(client, keyId)), ...rest] }
  } catch (error) {
    if (!(error instanceof KmsCommandError)) throw error
    const silent = 'the plugin does not answer'
    return {
      keyId: undefined,
      checks: [
        failed(
          'socket-answers',
          `${error.code}: ${error.message}`,
          error instanceof PluginRefusal ? READ_LOG : START_IT,
        ),
        ...[
          mode,
          skipped('status-ok', silent),
          skipped('round-trip', silent),
          skipped('damage-refused', silent),
          ...rest,
        ],
      ],
    }
  }
}

async function checkSocketMode({ socket: { path, mode } }: KmsConfig): Promise<Check> {
  try {
    const [socket, folder] = [await stat(path), await stat(dirname(path))]
    if (!socket.isSocket()) return failed('socket-mode', `${path} is no socket`, `remove it, then ${START_IT}`)
    const found = `${path}: mode ${octal(socket.mode)} in a folder of mode ${octal(folder.mode)}`
    if ((socket.mode & S_IRWXO) !== 0) {
      return failed(
        'socket-mode',
        found,
        'whoever connects can decrypt: take everything from others (socket.mode, restart)',
      )
    }
    if ((folder.mode & S_IWGO) !== 0) {
      return failed('socket-mode', found, 'somebody else can put a socket of their own there: chmod go-w the folder')
    }
    if ((socket.mode & PERMISSIONS) !== mode) {
      return warning('socket-mode', `${found}, configured is ${octal(mode)}`, 'restart the plugin')
    }
    return passed('socket-mode', found)
  } catch (error) {
    return skipped('socket-mode', `${path}: ${errorCodeOf(error) ?? wordsOf(error)}`)
  }
}

function checkHealth(healthz: string): Check {
  if (healthz === 'ok') return passed('status-ok', 'ok')
  return failed('status-ok', healthz, 'see the checks of the backend below, and the log of the plugin')
}

async function checkCalls(client: PluginClient, keyId: string): Promise<readonly Check[]> {
  using seed = new Secret(randomKeyBytes(SEED_BYTES))
  const startedAtMs = performance.now()
  try {
    const made = await client.encrypt(seed, 'sealctl-doctor')
    const request = { ...made, uid: 'sealctl-doctor' }
    using opened = await client.decrypt(request)
    const tookMs = Math.round(performance.now() - startedAtMs)
    const isSame = opened.equals(seed)
    const roundTrip = !isSame
      ? failed('round-trip', 'it decrypts to something else than was encrypted', 'stop using this key, and report it')
      : made.keyId === keyId
        ? passed('round-trip', `encrypted and decrypted in ${tookMs} ms`)
        : note('round-trip', 'the key changed between Status and Encrypt', 'run it again')
    return [roundTrip, await checkDamage(client, request)]
  } catch (error) {
    if (!(error instanceof KmsCommandError)) throw error
    const words = `${error.code}: ${error.message}`
    return [
      failed('round-trip', words, 'see the checks of the backend below, and the log of the plugin'),
      skipped('damage-refused', 'nothing could be encrypted'),
    ]
  }
}

/** One bit flipped: what kube-apiserver would get from a damaged etcd. */
async function checkDamage(client: PluginClient, request: Parameters<PluginClient['decrypt']>[0]): Promise<Check> {
  const ciphertext = Uint8Array.from(request.ciphertext)
  const last = ciphertext.byteLength - 1
  ciphertext[last] = (ciphertext[last] ?? 0) ^ 1
  try {
    const opened = await client.decrypt({ ...request, ciphertext })
    opened.wipe()
  } catch (error) {
    if (!(error instanceof KmsCommandError)) throw error
    if (error instanceof PluginRefusal && error.status === 'INVALID_ARGUMENT')
      return passed('damage-refused', 'a flipped bit is refused')
    return failed('damage-refused', error.message, 'a flipped bit should be INVALID_ARGUMENT: report it')
  }
  return failed('damage-refused', 'a flipped bit is decrypted', 'stop using this plugin, and report it')
}

async function checkStatusSocket(path: string, signal: AbortSignal): Promise<Check> {
  try {
    const { status, text } = await new Promise<{ status: number; text: string }>((resolve, reject) => {
      request({ socketPath: path, path: '/readyz', agent: false, timeout: CALL_TIMEOUT_MS, signal }, response => {
        let text = ''
        response.setEncoding('utf8').on('data', (part: string) => (text = (text + part).slice(0, MAX_QUOTED_CHARS)))
        response.once('end', () => {
          resolve({ status: response.statusCode ?? 0, text: text.trim() })
        })
        response.once('error', reject)
      })
        .once('timeout', function (this: ClientRequest) {
          this.destroy(new Error('no answer'))
        })
        .once('error', reject)
        .end()
    })
    if (status === OK) return passed('status-socket', `${path}: ready`)
    return warning(
      'status-socket',
      `${path}: /readyz answers ${status}: ${text}`,
      'see the checks of the backend below, and the log of the plugin',
    )
  } catch (error) {
    return warning('status-socket', `${path}: ${errorCodeOf(error) ?? wordsOf(error)}`, START_IT)
  }
}

async function checkState(config: KmsConfig): Promise<Check> {
  const found = await readPluginState(config)
  switch (found.kind) {
    case 'none':
      return warning(
        'state-file',
        `${found.path} is not there`,
        'the plugin writes it when it has seen its key: see its log, and stateDirectory',
      )
    case 'unusable':
      return failed(
        'state-file',
        `${found.path}: ${found.message}`,
        'see the runbook: the plugin puts a damaged one aside at its next start',
      )
    case 'read': {
      const { clusterId, provider, life } = found.state
      if (clusterId !== config.clusterId || provider !== config.backend.type) {
        return failed(
          'state-file',
          `${found.path} is of cluster ${clusterId}, provider ${provider}`,
          'the plugin does not start with it: correct the configuration, or, for a new key on purpose, move the file aside',
        )
      }
      const phases = life.versions.map(({ version, phase }) => `${version} ${phase}`).join(', ')
      return passed('state-file', `${found.path}: ${phases}`)
    }
  }
}

function octal(mode: number): string {
  return `0${(mode & PERMISSIONS).toString(8)}`
}
