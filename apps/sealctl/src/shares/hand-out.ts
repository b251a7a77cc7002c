import { type Secret } from '@sealwright/secret'
import { type CommandContext, write } from '../context.ts'
import { type CardFacts, type NumberedShare, showShareCards, writeShareCards } from './share-cards.ts'
import { readShareInput } from './share-input.ts'

const ISO_DATE_LENGTH = 'YYYY-MM-DD'.length

/** Said where shares were given away, and what they belong to was not stored. */
export const OPEN_NOTHING =
  'The shares of this set open nothing. Destroy what there is of them, and make another set.\n'

export const SHARES_TO_PEOPLE = `
Give each share to another person, on paper or on a medium of its own, and destroy what is left of them here: the files, or the
screen and its history. They are not shown again.`

/**
 * Writes shares as files, or shows them on the terminal.
 *
 * @param texts - stay the caller's.
 * @param to.output - a folder of ours that is there and empty; `undefined`: the terminal.
 * @returns the names of the files.
 * @throws {SealctlError} `SEALCTL_OUTPUT_UNUSABLE`.
 */
export async function handOutShares(
  facts: Omit<CardFacts, 'createdOn'>,
  texts: readonly Secret[],
  { output, context }: { readonly output: string | undefined; readonly context: CommandContext },
): Promise<readonly string[] | undefined> {
  using opened = new DisposableStack()
  // Read back as people will have to: a share that got lost on the way would show here.
  const shares: readonly NumberedShare[] = texts.map(text => opened.use(readShareInput(text.clone())))
  const dated = { ...facts, createdOn: context.now().toISOString().slice(0, ISO_DATE_LENGTH) }
  if (output !== undefined) return await writeShareCards(output, dated, shares)
  await showShareCards(context, dated, shares)
  return undefined
}

/** Does it; if it fails, says beside why what has become of the shares. */
export async function telling<T>(context: CommandContext, outcome: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    await write(context.stderr, outcome)
    throw error
  }
}
