import { link, lstat } from 'node:fs/promises'
import { connect } from 'node:net'
import { NotFlushedError, replaceFile } from '@sealwright/durable-file'
import { type KmsConfig } from '@sealwright/kms-config'
import { adoptKey, encodeState, type KmsState, keyIdOf, type SampledVersion } from '@sealwright/kms-v2'
import { errorCodeOf, hasErrorCode } from '@sealwright/system-error'
import { type CommandResult } from '../../command.ts'
import { EXIT_CODES } from '../../exit-codes.ts'
import { plain, table } from '../../render/plain.ts'
import { type AdoptKeyOptions } from './adopt-key.ts'
import { KmsCommandError } from './errors.ts'
import { type KmsCall } from './kms-command.ts'
import { loadKmsConfig } from './load-config.ts'
import { readPluginState } from './plugin-state.ts'

const FILE_MODE = 0o600

/** `sealctl kms adopt-key`. */
export async function runAdoptKey({ options, context }: KmsCall<AdoptKeyOptions>): Promise<CommandResult> {
  const config = await loadKmsConfig(options.config)
  const { path, state } = await requireState(config)
  if (options.yes) for (const socket of [config.socket.path, config.statusSocket]) await assertNobodyAnswers(socket)
  const keptAs = `${path}.before-adoption-${context
    .now()
    .toISOString()
    .replace(/[-:]|\.\d+/g, '')}`
  if (options.yes) await replaceState(path, { text: encodeState(adoptKey(state)), keptAs, signal: context.signal })
  const givenUp = state.life.versions.map(version => factsOf(state, version))
  return {
    json: { path, keptAs, isDone: options.yes, givenUp, former: state.life.former.map(one => factsOf(state, one)) },
    text: textOf(givenUp, { path, keptAs, isDone: options.yes }),
    exitCode: options.yes ? EXIT_CODES.done : EXIT_CODES.notConfirmed,
  }
}

interface VersionFacts {
  readonly version: number
  readonly createdAt: string
  readonly keyId: string
}

async function requireState(config: KmsConfig): Promise<{ readonly path: string; readonly state: KmsState }> {
  const found = await readPluginState(config)
  switch (found.kind) {
    case 'read':
      if (found.state.life.versions.length > 0) return found
      throw new KmsCommandError(
        'KMS_COMMAND_NOTHING_TO_ADOPT',
        `${found.path}: no key is in use by this node: its KMS plugin takes the one that the backend has by itself`,
      )
    case 'none':
      throw new KmsCommandError(
        'KMS_COMMAND_NOTHING_TO_ADOPT',
        `${found.path} is not there: this node remembers no key, and its KMS plugin takes the one that the backend has by itself`,
      )
    case 'unusable':
      throw new KmsCommandError('KMS_COMMAND_STATE_UNUSABLE', `${found.path}: ${found.message}`)
  }
}

/** A running plugin would write what it knows over what is written here. */
async function assertNobodyAnswers(path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>()
  const socket = connect(path)
  socket.once('connect', () => {
    reject(
      new KmsCommandError(
        'KMS_COMMAND_PLUGIN_RUNS',
        `the KMS plugin of this node runs (${path} answers): stop it, adopt the key, and start it again`,
      ),
    )
  })
  socket.once('error', cause => {
    if (hasErrorCode(cause, 'ENOENT', 'ENOTDIR', 'ECONNREFUSED')) resolve(undefined)
    else {
      const why = `cannot tell whether the KMS plugin of this node runs: ${path} (${errorCodeOf(cause) ?? 'no code'})`
      reject(new KmsCommandError('KMS_COMMAND_PLUGIN_RUNS', why, { cause }))
    }
  })
  try {
    await promise
  } finally {
    socket.destroy()
  }
}

/** There is a whole state at each moment, and the old one is kept. The new one belongs to whom the old one did: the plugin must read it. */
async function replaceState(
  path: string,
  { text, keptAs, signal }: { readonly text: string; readonly keptAs: string; readonly signal: AbortSignal },
): Promise<void> {
  try {
    const { uid: userId, gid: groupId } = await lstat(path)
    await replaceFile(path, text, {
      ...{ mode: FILE_MODE, owner: { userId, groupId }, signal },
      prove: () => link(path, keptAs),
    })
  } catch (cause) {
    signal.throwIfAborted()
    const what =
      cause instanceof NotFlushedError
        ? cause.message
        : `${path} cannot be written anew (${errorCodeOf(cause) ?? 'no code'}): it is as it was`
    throw new KmsCommandError('KMS_COMMAND_STATE_UNUSABLE', what, { cause })
  }
}

function factsOf({ provider, clusterId }: KmsState, { version, lineage, createdAtMs }: SampledVersion): VersionFacts {
  const createdAt = new Date(createdAtMs).toISOString()
  return { version, createdAt, keyId: keyIdOf({ provider, clusterId, lineage, version }) }
}

function textOf(
  givenUp: readonly VersionFacts[],
  { path, keptAs, isDone }: { readonly path: string; readonly keptAs: string; readonly isDone: boolean },
): string {
  return [
    plain(`${path}: ${isDone ? 'these versions were given up' : 'these versions would be given up'}`) + '\n\n',
    table([
      ['VERSION', 'MADE', 'KEY ID'],
      ...givenUp.map(({ version, createdAt, keyId }) => [String(version), createdAt, keyId]),
    ]),
    '\n',
    'The KMS plugin takes the key that the backend has, and encrypts by it. What the versions above encrypted it goes on\n',
    'decrypting as far as the backend can: if their key is gone, every Secret that they encrypted is lost.\n',
    ...(isDone
      ? [
          plain(`The old file is kept as ${keptAs}`) + '\n',
          'Start the KMS plugin now; do the same on each other node.\n',
        ]
      : ['Nothing was changed. Bring the old key back if you can. If not: the same with --yes\n']),
  ].join('')
}
