import { lstat, mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isWritableByOthers } from '@sealwright/program'
import { type Secret } from '@sealwright/secret'
import { errorCodeOf, hasErrorCode } from '@sealwright/system-error'
import { type CommandContext, write } from '../context.ts'
import { SealctlError } from '../errors.ts'
import { writeNewFile } from '../files.ts'
import { plain } from '../render/plain.ts'

/** What stands above a share. */
export interface CardFacts {
  readonly seal: string
  readonly label: string
  readonly clusterId: string
  /** `YYYY-MM-DD` in UTC. */
  readonly createdOn: string
}

/** One share with the number it has. */
export interface NumberedShare {
  readonly index: number
  readonly count: number
  readonly threshold: number
  readonly text: Secret
}

const FOLDER_MODE = 0o700

/**
 * Makes the folder that cards are written to, before there are any shares that could be lost.
 *
 * @throws {@link SealctlError} `SEALCTL_OUTPUT_UNUSABLE`: it cannot be made, it has files, or others may write it.
 */
export async function prepareCardFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: FOLDER_MODE })
    return
  } catch (cause) {
    if (!hasErrorCode(cause, 'EEXIST'))
      throw unusable(path, `it cannot be made (${errorCodeOf(cause) ?? 'no code'})`, cause)
  }
  const status = await lstat(path)
  if (!status.isDirectory()) throw unusable(path, 'it is no folder')
  if (isWritableByOthers(status)) throw unusable(path, 'others may write it')
  if ((await readdir(path)).length > 0) throw unusable(path, 'it has files already')
}

/**
 * Writes one file a share, mode 0600, and has the disk keep them.
 *
 * @returns the names, in the order of the shares.
 * @throws {@link SealctlError} `SEALCTL_OUTPUT_UNUSABLE`.
 */
export async function writeShareCards(
  folder: string,
  facts: CardFacts,
  shares: readonly NumberedShare[],
): Promise<readonly string[]> {
  const names: string[] = []
  for (const share of shares) {
    const name = `share-${share.index}-of-${share.count}`
    const path = join(folder, name)
    await withCard(facts, share, async card => {
      await writeNewFile(path, card)
    })
    names.push(name)
  }
  return names
}

/** Shows every card on the terminal. */
export async function showShareCards(
  { stdout }: Pick<CommandContext, 'stdout'>,
  facts: CardFacts,
  shares: readonly NumberedShare[],
): Promise<void> {
  for (const share of shares) {
    await withCard(facts, share, async card => {
      await write(stdout, card)
    })
    await write(stdout, '\n')
  }
}

/** The bytes of a card, for as long as they are used. Its remarks begin with `#`, so that the whole file can be read back. */
async function withCard(
  facts: CardFacts,
  share: NumberedShare,
  use: (card: Uint8Array) => Promise<void>,
): Promise<void> {
  const { seal, label, clusterId, createdOn } = facts
  const { index, count, threshold, text } = share
  const remarks = Buffer.from(
    plain(`# Sealwright share ${index} of ${count}: any ${threshold} of them open the seal ${seal}, set ${label}`) +
      `\n# of the cluster ${clusterId}, made on ${createdOn}. Show it to nobody.\n`,
  )
  const card = Buffer.alloc(remarks.length + text.byteLength + 1, '\n')
  try {
    remarks.copy(card)
    text.reveal(bytes => {
      card.set(bytes, remarks.length)
    })
    await use(card)
  } finally {
    card.fill(0)
  }
}

function unusable(path: string, why: string, cause?: unknown): SealctlError {
  return new SealctlError('SEALCTL_OUTPUT_UNUSABLE', `${path} cannot be used: ${why}`, { cause })
}
