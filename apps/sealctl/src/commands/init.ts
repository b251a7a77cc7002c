import { type Command } from 'commander'
import { agentCommand, type Call, type CommandResult, parseWholeNumber, type Session } from '../command.ts'
import { type CommandContext } from '../context.ts'
import { SealctlError } from '../errors.ts'
import { plain } from '../render/plain.ts'
import { renderMembers } from '../render/seals.ts'
import { handOutShares, OPEN_NOTHING, SHARES_TO_PEOPLE, telling } from '../shares/hand-out.ts'
import { prepareCardFolder } from '../shares/share-cards.ts'

const MIN_SHARES = 2
const MAX_SHARES = 255
/** The type of a seal that people open together. */
export const SHARED = 'shamir'

/** How a seal is initialised. */
export interface InitialiseOptions {
  readonly shares?: number
  readonly threshold?: number
  readonly label?: string
  readonly output?: string
}

export function addInit(parent: Command, session: Session): void {
  const command = parent
    .command('init')
    .description(
      'Gives a seal of this node its first record, or one for the device that it has now, or calls that device otherwise. A Shamir seal gets a new set of shares.',
    )
    .requiredOption('--seal <name>', 'name of the seal, as in node.yaml')
  agentCommand<InitialiseOptions & { readonly seal: string }>(withInitialiseOptions(command), session, {
    examples: ['init --seal hsm', 'init --seal emergency --shares 5 --threshold 3 --label board --output /run/cards'],
    action: call => initialiseSeal(call.options.seal, call),
  })
}

/** The options of whatever initialises a seal. */
export function withInitialiseOptions(command: Command): Command {
  const count = (text: string): number => parseWholeNumber(text, MIN_SHARES, MAX_SHARES)
  return command
    .option('--shares <number>', 'how many shares to make', count)
    .option('--threshold <number>', 'how many of them open', count)
    .option(
      '--label <text>',
      "what the member is called from now on: OpenBao's node_id for a TPM, or the team that gets the shares",
    )
    .option('--output <folder>', 'write one file a share into this new folder, instead of showing them')
}

/** Gives a seal its first record, or one for the device that it has now; of a Shamir seal it hands out the new shares. */
export async function initialiseSeal(
  seal: string,
  { agent, options, context }: Pick<Call<InitialiseOptions>, 'agent' | 'options' | 'context'>,
): Promise<CommandResult> {
  const { shares: wanted, threshold, label, output } = options
  const { type } = await agent.seal(seal, context.signal)
  // Looked at before there are shares that could be lost.
  if (type === SHARED) {
    assertSharesWanted(seal, options)
    assertSharesHavePlace(options, context)
    if (output !== undefined) await prepareCardFolder(output)
  }
  const { shares, ...made } = await agent.initialise(
    seal,
    {
      ...(label === undefined ? {} : { label }),
      ...(wanted === undefined || threshold === undefined ? {} : { shares: { threshold, count: wanted } }),
    },
    context.signal,
  )
  try {
    if (shares.length === 0) {
      const called =
        label === undefined
          ? ''
          : `\nThis node's member of ${plain(seal)} is called ${plain(made.member.label)} from now on.\n`
      return { text: `${renderMembers([made.member])}${called}${IN_STORAGE}`, json: made }
    }
    const { clusterId, member: added } = made
    const facts = { seal: added.seal, label: added.label, clusterId }
    const files = await telling(context, OPEN_NOTHING, () => handOutShares(facts, shares, { output, context }))
    const { memberId } = made.member
    // Only now do they open anything: a set that nobody has would look like a way in.
    const { member } = await telling(context, `${UNKNOWN_WHETHER} ${memberId}.\n`, () =>
      agent.confirmShares(seal, { memberId }, context.signal),
    )
    const text = `${renderMembers([member])}${IN_STORAGE}${WHAT_TO_DO}`
    return { text, json: { ...made, member, ...(files === undefined ? {} : { files }) } }
  } finally {
    for (const share of shares) share.wipe()
  }
}

/** @throws {@link SealctlError} `SEALCTL_USAGE` unless it is said how many shares there shall be, and how many of them open. */
export function assertSharesWanted(seal: string, { shares, threshold }: InitialiseOptions): void {
  if (shares === undefined || threshold === undefined) {
    throw new SealctlError('SEALCTL_USAGE', `${plain(seal)} opens by shares: give --shares and --threshold`)
  }
  if (threshold <= shares) return
  throw new SealctlError(
    'SEALCTL_USAGE',
    `--threshold ${threshold} is more than --shares ${shares}: they would never be enough`,
  )
}

/** @throws {@link SealctlError} `SEALCTL_NO_TERMINAL` if new shares would be shown to everybody, or to nobody. */
export function assertSharesHavePlace(
  { output, json }: InitialiseOptions & { readonly json: boolean },
  { stdout }: Pick<CommandContext, 'stdout'>,
): void {
  if (output !== undefined || (!json && stdout.isTTY === true)) return
  throw new SealctlError(
    'SEALCTL_NO_TERMINAL',
    'the shares would go where nobody may see them: run it on a terminal, or give --output FOLDER',
  )
}

const UNKNOWN_WHETHER =
  'It is not known whether these shares open anything: they do, and are good, if sealctl members list has their set. Otherwise destroy ' +
  'them, and make another set. This one is'

/** The keyring lies beside the blobs that OpenBao stores; it stores one when it wraps. */
const IN_STORAGE = `
Snapshots of OpenBao have this record from the next wrapping on. To have it there at once: bao write -f sys/rotate/root
`

const WHAT_TO_DO = `${SHARES_TO_PEOPLE} Try them at once: sealctl rehearse\n`
