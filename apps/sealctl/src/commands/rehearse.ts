import { type Command } from 'commander'
import { type RehearsalView } from '@sealwright/control-api'
import { agentCommand, type Call, collect, type CommandResult, type Session } from '../command.ts'
import { type CommandContext, write } from '../context.ts'
import { SealctlError } from '../errors.ts'
import { EXIT_CODES } from '../exit-codes.ts'
import { plain } from '../render/plain.ts'
import { sharePrompt } from '../shares/prompt.ts'
import { sharesFromFiles, sharesFromPipe } from '../shares/read-input.ts'
import { readShareInput, type ShareInput } from '../shares/share-input.ts'

interface RehearseOptions {
  readonly seal?: string
  readonly shareFile?: readonly string[]
}

export function addRehearse(parent: Command, session: Session): void {
  const command = parent
    .command('rehearse')
    .description(
      'Checks that shares are right and enough to open a seal, and opens nothing. Ends with 2 if they are not.',
    )
    .option('--seal <name>', 'which Shamir seal; else the one called default, else the best priority')
    .option('--share-file <file>', 'a file with a share; may be given several times', collect)
  agentCommand<RehearseOptions>(command, session, {
    examples: ['rehearse', 'rehearse --seal emergency --share-file share-1-of-5 --share-file share-2-of-5'],
    action: rehearse,
  })
}

async function rehearse({ agent, options, context }: Call<RehearseOptions>): Promise<CommandResult> {
  using opened = new DisposableStack()
  const shares = await allShares(options, context, opened)
  if (shares.length === 0) throw new SealctlError('SEALCTL_NO_SHARE', 'no share was entered')
  const query = options.seal === undefined ? {} : { seal: options.seal }
  const texts = shares.map(({ text }) => text)
  const rehearsal = await agent.rehearse(texts, query, context.signal)
  return {
    text: renderRehearsal(rehearsal),
    json: rehearsal,
    exitCode: rehearsal.quorum ? EXIT_CODES.done : EXIT_CODES.notReady,
  }
}

async function allShares(
  { shareFile }: RehearseOptions,
  context: CommandContext,
  opened: DisposableStack,
): Promise<readonly ShareInput[]> {
  if (shareFile === undefined && context.stdin.isTTY === true) return await askAll(context, opened)
  const texts = shareFile !== undefined ? await sharesFromFiles(shareFile) : await sharesFromPipe(context)
  for (const text of texts) opened.use(text)
  return texts.map(text => opened.use(readShareInput(text)))
}

/** Asks for as many as the first one says that it takes. */
async function askAll(context: CommandContext, opened: DisposableStack): Promise<readonly ShareInput[]> {
  using prompt = sharePrompt(context)
  const shares: ShareInput[] = []
  for (let needed = 1; shares.length < needed;) {
    const share = await prompt.next()
    if (share === undefined) return shares
    shares.push(opened.use(share))
    needed = Math.max(...shares.map(({ threshold }) => threshold))
    await write(context.stderr, `share ${share.index}: ${shares.length} of ${needed}\n`)
  }
  return shares
}

function verdictOn({ right, fault }: RehearsalView['shares'][number]): string {
  if (right) return 'is right'
  if (fault === undefined) return 'is WRONG'
  if (fault.code === 'SHAMIR_SHARE_REPEATED') return 'was given before: it counts once'
  const how = fault.code === 'SHAMIR_SHARE_WRONG' ? 'is WRONG' : 'does not count'
  return `${how}: ${plain(fault.message)}`
}

function renderRehearsal({ seal, setLabel, threshold, shares, quorum }: RehearsalView): string {
  const lines = shares.map(share => `share ${share.index} ${verdictOn(share)}\n`)
  const where = `the seal ${plain(seal)}, set ${plain(setLabel)}`
  const verdict = quorum
    ? `these shares would open ${where}; nothing was opened`
    : `these shares would NOT open ${where}: it takes ${threshold} right ones`
  return `${lines.join('')}${verdict}\n`
}
