import { type CommandContext, write } from '../context.ts'
import { renderBreakPlan } from '../render/break-plan.ts'
import { confirmName } from '../terminal/ask.ts'
import { type BreakPlan } from './plan.ts'

/** Digits of the fingerprint that are typed. The agent gets all of them. */
const TYPED_DIGITS = 8

/** Shows who gets the next key, so that a stranger is seen. */
export async function showPlan({ stderr }: Pick<CommandContext, 'stderr'>, plan: BreakPlan): Promise<void> {
  await write(stderr, renderBreakPlan(plan))
}

/**
 * Has the operator confirm that these members get the next key.
 *
 * @throws {@link SealctlError} `SEALCTL_NOT_CONFIRMED`, `SEALCTL_NO_TERMINAL`.
 */
export async function confirmMembers(context: CommandContext, { staying, fingerprint }: BreakPlan): Promise<void> {
  await confirmName(context, {
    name: fingerprint.slice(0, TYPED_DIGITS),
    what: `The ${staying.length} members that stay get the next seal key. Look at each: a stranger may have been planted by who had an old key.`,
    given: undefined,
    option: membersOption(fingerprint),
  })
}

/** What stands in for being asked. */
export function membersOption(fingerprint: string): string {
  return `--members ${fingerprint}`
}
