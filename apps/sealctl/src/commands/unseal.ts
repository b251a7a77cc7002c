import { type Command } from 'commander'
import { type CeremonyView } from '@sealwright/control-api'
import { ControlClientError } from '@sealwright/control-client'
import { agentCommand, type Call, collect, type CommandResult, type Session } from '../command.ts'
import { write } from '../context.ts'
import { SealctlError } from '../errors.ts'
import { EXIT_CODES } from '../exit-codes.ts'
import { plain } from '../render/plain.ts'
import { sharePrompt } from '../shares/prompt.ts'
import { sharesFromFiles, sharesFromPipe } from '../shares/read-input.ts'
import { readShareInput, type ShareInput } from '../shares/share-input.ts'

interface UnsealOptions {
  readonly seal?: string
  readonly shareFile?: readonly string[]
  readonly reset: boolean
}

export function addUnseal(parent: Command, session: Session): void {
  const command = parent
    .command('unseal')
    .description(
      'Enters shares until there are enough, which opens this node. On a terminal they are asked for and not shown; others may ' +
        'enter theirs elsewhere.',
    )
    .option('--seal <name>', 'which Shamir seal; else the one called default, else the best priority')
    .option('--share-file <file>', 'a file with a share; may be given several times', collect)
    .option('--reset', 'forget the shares that are in, and enter none', false)
  agentCommand<UnsealOptions>(command, session, {
    examples: ['unseal', 'unseal --seal emergency --share-file /media/key/share-1-of-5', 'unseal --reset'],
    action: call => (call.options.reset ? reset(call) : unseal(call)),
  })
}

async function reset({ agent, options: { seal }, context }: Call<UnsealOptions>): Promise<CommandResult> {
  const json = await agent.resetShares(seal === undefined ? {} : { seal }, context.signal)
  return { text: 'no shares are in: begin anew\n', json }
}

async function unseal(call: Call<UnsealOptions>): Promise<CommandResult> {
  const { options, context } = call
  let state: CeremonyView | undefined
  const enter = async (share: ShareInput): Promise<boolean> => {
    state = await enterShare(call, share, state?.nonce)
    await write(context.stderr, `share ${share.index} is in: ${progressOf(state)}\n`)
    return state.complete
  }
  if (options.shareFile === undefined && context.stdin.isTTY === true) await enterTyped(call, enter)
  else await enterGiven(call, enter)
  return state === undefined ? nothingEntered(call) : resultOf(state)
}

async function enterShare(
  { agent, options: { seal }, context }: Call<UnsealOptions>,
  { text }: ShareInput,
  nonce: string | undefined,
): Promise<CeremonyView> {
  const query = { ...(seal === undefined ? {} : { seal }), ...(nonce === undefined ? {} : { nonce }) }
  return await agent.enterShare(text, query, context.signal)
}

/** Asks until the node is open or nobody has a share any more. A share that the agent refuses can be entered again. */
async function enterTyped(
  { context }: Call<UnsealOptions>,
  enter: (share: ShareInput) => Promise<boolean>,
): Promise<void> {
  using prompt = sharePrompt(context)
  for (;;) {
    using share = await prompt.next()
    if (share === undefined) return
    try {
      if (await enter(share)) return
    } catch (error) {
      if (!(error instanceof ControlClientError) || error.agentCode?.startsWith('SHAMIR_') !== true) throw error
      await write(context.stderr, `${error.agentCode}: ${plain(error.message)}\n`)
    }
  }
}

async function enterGiven(
  { options, context }: Call<UnsealOptions>,
  enter: (share: ShareInput) => Promise<boolean>,
): Promise<void> {
  const texts =
    options.shareFile !== undefined ? await sharesFromFiles(options.shareFile) : await sharesFromPipe(context)
  try {
    for (const text of texts) {
      using share = readShareInput(text)
      if (await enter(share)) return
    }
  } finally {
    for (const text of texts) text.wipe()
  }
}

async function nothingEntered({ agent, context }: Call<UnsealOptions>): Promise<CommandResult> {
  const { ceremonies } = await agent.ceremonies(context.signal)
  const [begun] = ceremonies
  if (begun !== undefined) return resultOf(begun)
  throw new SealctlError('SEALCTL_NO_SHARE', 'no share was entered')
}

function resultOf(state: CeremonyView): CommandResult {
  const where = `the seal ${plain(state.seal)}, set ${plain(state.setLabel)}`
  if (state.complete) return { text: `this node is open, by ${where}\n`, json: state }
  const missing = state.threshold - state.entered.length
  return {
    text: `${progressOf(state)} for ${where}: ${missing} more ${missing === 1 ? 'is' : 'are'} needed\n`,
    json: state,
    exitCode: EXIT_CODES.notReady,
  }
}

function progressOf({ entered, threshold }: CeremonyView): string {
  return `${entered.length} of ${threshold} shares`
}
