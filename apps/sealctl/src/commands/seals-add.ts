import { type Command } from 'commander'
import { type ReloadView } from '@sealwright/control-api'
import { agentCommand, type Call, type Session } from '../command.ts'
import { SealctlError } from '../errors.ts'
import { plain } from '../render/plain.ts'
import {
  assertSharesHavePlace,
  assertSharesWanted,
  type InitialiseOptions,
  initialiseSeal,
  SHARED,
  withInitialiseOptions,
} from './init.ts'

export function addSealsAdd(seals: Command, session: Session): void {
  const command = seals
    .command('add')
    .description(
      'Takes a seal into use that you have written into node.yaml: has the agent read that file anew, as SIGHUP does, then gives the ' +
        'seal its first record, as init does. Nothing has to be restarted.',
    )
    .argument('<name>', 'name of the seal, as in node.yaml')
  agentCommand<InitialiseOptions>(withInitialiseOptions(command), session, {
    examples: ['seals add hsm', 'seals add emergency --shares 5 --threshold 3 --label board --output /run/cards'],
    async action(call) {
      const [name = ''] = call.args
      await assertOptionsFit(name, call)
      // Left to itself the agent would give a new seal its first record, under its own label.
      const reloaded = await call.agent.reload({ tend: false }, call.context.signal)
      if (!reloaded.enabled.includes(name)) {
        throw new SealctlError(
          'SEALCTL_SEAL_UNKNOWN',
          `node.yaml of this node has no seal ${plain(name)}, or has it disabled: write it there first, then run this again`,
        )
      }
      const { text, json } = await initialiseSeal(name, call)
      return { text: `${renderReload(reloaded)}${text}`, json: { ...json, reloaded } }
    },
  })
}

/**
 * Looks, before the agent reads its file, at what can be known before: that options for shares make sense, and are there for a seal that
 * the agent knows as one of people. What a seal is that stands in the file alone is only known once it was read.
 */
async function assertOptionsFit(
  name: string,
  { agent, options, context }: Pick<Call<InitialiseOptions>, 'agent' | 'options' | 'context'>,
): Promise<void> {
  const { seals } = await agent.seals(context.signal)
  const isShared = seals.some(seal => seal.name === name && seal.type === SHARED)
  if (!isShared && options.shares === undefined && options.threshold === undefined) return
  assertSharesWanted(name, options)
  assertSharesHavePlace(options, context)
}

/** What else the file has brought is told as well: somebody may have changed more than they remember. */
function renderReload({ added, changed, removed }: ReloadView): string {
  const changes = Object.entries({ added, changed, removed }).filter(([, names]) => names.length > 0)
  const told = changes.map(([what, names]) => `${what} ${names.map(plain).join(', ')}`)
  return `node.yaml is read anew: ${told.join('; ') || 'no seal has changed'}\n`
}
