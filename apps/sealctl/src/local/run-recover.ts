import { hex } from '@sealwright/bytes'
import { type Secret } from '@sealwright/secret'
import { type CommandResult } from '../command.ts'
import { type CommandContext, write } from '../context.ts'
import { SealctlError } from '../errors.ts'
import { opensIt, plain } from '../render/plain.ts'
import { sharePrompt, type SharePrompt } from '../shares/prompt.ts'
import { sharesFromFiles, sharesFromPipe } from '../shares/read-input.ts'
import { type KeyringSource, readBrought } from './brought-keyring.ts'
import { clusterIdOf, expectedCluster } from './cluster-id.ts'
import { type RecoverOptions } from './commands.ts'
import { labelWarnings } from './label-warnings.ts'
import { type LocalOptions } from './local-command.ts'
import { openNode } from './open-node.ts'
import { recover, type Recovered } from './recover.ts'

/** `sealctl recover`. */
export async function runRecover(
  options: LocalOptions & RecoverOptions,
  context: CommandContext,
): Promise<CommandResult> {
  const { signal } = context
  const source = sourceOf(options)
  const clusterId = clusterIdOf(options.clusterId)
  await using node = await openNode(options.config, clusterId)
  using shares = shareSource(options, context)
  const { keyring, servers } = await readBrought(source, signal)
  const expected = expectedCluster(keyring, clusterId, node.config)
  const recovered = await recover(
    {
      ...{ config: node.config, seals: node.seals, keyring, clusterId: expected, label: options.label },
      byShares: options.shares || options.shareFile.length > 0,
      nextShare: () => shares.next(),
      onProgress: line => {
        if (!options.json) void write(context.stderr, `${plain(line)}\n`)
      },
    },
    signal,
  )
  return resultOf(recovered, node.config.store, labelWarnings(recovered.labels, options.label, servers))
}

function sourceOf({ snapshot, keyring }: RecoverOptions): KeyringSource {
  if (snapshot !== undefined && keyring === undefined) return { kind: 'snapshot', path: snapshot }
  if (keyring !== undefined && snapshot === undefined) return { kind: 'file', path: keyring }
  throw new SealctlError('SEALCTL_USAGE', 'name either --snapshot FILE or --keyring FILE')
}

/** Shares, from where they are to come; read when the first one is needed. */
export function shareSource(
  { shareFile }: Pick<RecoverOptions, 'shareFile'>,
  context: CommandContext,
): { next(): Promise<Secret | undefined> } & Disposable {
  let given: Secret[] | undefined
  let prompt: SharePrompt | undefined
  return {
    async next() {
      if (shareFile.length === 0 && context.stdin.isTTY === true) {
        prompt ??= sharePrompt(context)
        return (await prompt.next())?.text
      }
      given ??= [...(shareFile.length > 0 ? await sharesFromFiles(shareFile) : await sharesFromPipe(context))]
      return given.shift()
    },
    [Symbol.dispose]() {
      prompt?.[Symbol.dispose]()
      for (const text of given ?? []) text.wipe()
    },
  }
}

function resultOf(
  { keyring, opens, openedBy, failures }: Recovered,
  store: string,
  warnings: readonly string[],
): CommandResult {
  const clusterId = hex(keyring.clusterId)
  const failed = [...failures].map(([name, { code, message }]) => ({ name, code, message }))
  return {
    json: { clusterId, openedBy, opens, failures: failed, store, warnings },
    text: [
      plain(`opened by ${openedBy}; the cluster is ${clusterId}`),
      plain(`${store} is written: ${opens.join(', ')} of this node ${opensIt(opens)} it, proven just now`),
      ...failed.map(({ name, code, message }) => plain(`${name} has no record: ${code}: ${message}`)),
      ...warnings.map(warning => plain(`warning: ${warning}`)),
      'Now start the agent and OpenBao. To bring data back from the snapshot, see "Restoring a snapshot" in the README.',
      '',
    ].join('\n'),
  }
}
