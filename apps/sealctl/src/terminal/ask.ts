import { createInterface } from 'node:readline/promises'
import { type CommandContext } from '../context.ts'
import { SealctlError } from '../errors.ts'
import { plain } from '../render/plain.ts'

/**
 * Asks for a line that everybody may see. The terminal edits and shows it.
 *
 * @returns without blanks around it.
 * @throws {@link SealctlError} `SEALCTL_NO_TERMINAL`, naming the option that stands in; the reason of the signal.
 */
export async function askVisible(context: CommandContext, question: string, option: string): Promise<string> {
  const { stdin, stderr, signal } = context
  if (stdin.isTTY !== true) {
    throw new SealctlError('SEALCTL_NO_TERMINAL', `nobody can be asked here: give ${option}`)
  }
  const lines = createInterface({ input: stdin, output: stderr, terminal: false })
  // An input that ends leaves a question without an answer.
  const ended = Promise.withResolvers<string>()
  lines.once('close', () => {
    // The last line may still be on its way.
    setImmediate(() => {
      ended.resolve('')
    })
  })
  try {
    return (await Promise.race([lines.question(question, { signal }), ended.promise])).trim()
  } catch (error) {
    signal.throwIfAborted()
    throw error
  } finally {
    lines.close()
  }
}

/**
 * Has the operator type a name again, before something is lost.
 *
 * @param given - what `--confirm` says. @param option - what stands in for an answer; absent: `--confirm`.
 * @throws {@link SealctlError} `SEALCTL_NOT_CONFIRMED`, `SEALCTL_NO_TERMINAL`.
 */
export async function confirmName(
  context: CommandContext,
  {
    name,
    what,
    given,
    option = `--confirm ${plain(name)}`,
  }: { readonly name: string; readonly what: string; readonly given: string | undefined; readonly option?: string },
): Promise<string> {
  const typed = given ?? (await askVisible(context, `${plain(what)}\nType ${plain(name)} to go on: `, option))
  if (typed === name) return typed
  throw new SealctlError('SEALCTL_NOT_CONFIRMED', `nothing was changed: ${plain(name)} was not typed again`)
}
