import { rename, unlink } from 'node:fs/promises'
import { sameBytes } from '@sealwright/bytes'
import { describeCause, StoreError, writeFailure } from './errors.ts'
import { type Folder } from './folder.ts'
import { ensureLockFile, type LockOptions, lockFolder } from './lock.ts'
import { entryKind, KEYRING_NAME, PREVIOUS_NAME, tempName } from './names.ts'
import { FILE_MODE } from './permissions.ts'
import { assertKeyring, readKeyringFrom, readStoreFile, type VerifyKeyring } from './read-keyring.ts'
import { createFile, type CreateStep, removeIfPossible } from './regular-file.ts'

/** The points a write passes, in order. Tests kill the process at each of them. */
export const WRITE_STEPS = [
  'locked',
  'leftovers-removed',
  'agent-lock-made',
  'temp-created',
  'temp-written',
  'temp-synced',
  'proved',
  'previous-created',
  'previous-written',
  'previous-synced',
  'previous-renamed',
  'keyring-renamed',
  'folder-synced',
] as const

/** One of {@link WRITE_STEPS}. */
export type WriteStep = (typeof WRITE_STEPS)[number]

/** What to write, over what, and how it is proved. */
export interface KeyringWrite {
  /** 1 … 851,968 bytes that the store's `verify` accepts. */
  readonly bytes: Uint8Array
  /** What the caller believes is there: bytes it has read, or `undefined` for a store never written. */
  readonly expectedCurrent: Uint8Array | undefined
  /** Opens the bytes read back from the disk for real. If it throws, nothing is replaced. */
  readonly prove: (bytesReadBack: Uint8Array) => Promise<void>
  /** Obeyed until the new keyring is proved; after that the write goes on to its end. */
  readonly signal: AbortSignal
}

/** `unchanged`: the same bytes were there already; they were proved, and no file was touched. */
export type WriteOutcome = 'written' | 'unchanged'

/** What {@link writeKeyringTo} needs beside the write itself. */
export interface WriteContext {
  readonly verify: VerifyKeyring
  readonly lock: Omit<LockOptions, 'signal'>
  readonly onStep: (step: WriteStep) => void
}

/**
 * Replaces the keyring, or writes the first one, under the writer lock.
 *
 * At every moment `keyring` is the old or the new one, whole. The old one is kept as `keyring.previous`.
 *
 * @throws {@link StoreError} `STORE_CHANGED`, `STORE_PROOF_FAILED`, the codes of reading, locking and of a failed write.
 * @see docs/formats/seal-store.md §4
 */
export async function writeKeyringTo(
  folder: Folder,
  write: KeyringWrite,
  context: WriteContext,
): Promise<WriteOutcome> {
  assertKeyring(folder.shown(KEYRING_NAME), write.bytes, context.verify)
  const lock = await lockFolder(folder, 'writer', { ...context.lock, signal: write.signal })
  try {
    context.onStep('locked')
    return await replaceLocked(folder, write, context)
  } finally {
    await lock[Symbol.asyncDispose]()
  }
}

async function replaceLocked(folder: Folder, write: KeyringWrite, context: WriteContext): Promise<WriteOutcome> {
  const current = await readExpected(folder, write, context.verify)
  if (current !== undefined && sameBytes(current, write.bytes)) {
    await prove(folder, write, current)
    // Whoever put it there may have been killed before it lasted.
    await syncFolder(folder)
    return 'unchanged'
  }
  await removeLeftovers(folder)
  context.onStep('leftovers-removed')
  // Before the keyring: a store that has one can be locked by an agent, whatever becomes of the disk until then.
  await ensureLockFile(folder, 'agent')
  context.onStep('agent-lock-made')
  const temp = tempName(current === undefined ? 'first' : 'next')
  try {
    await createTemp(folder, temp, write.bytes, step => {
      context.onStep(`temp-${step}`)
    })
    await prove(folder, write, await readBack(folder, temp, write.bytes))
    context.onStep('proved')
    write.signal.throwIfAborted()
    // A proof takes seconds on a slow TPM. The lock binds only us: look again before the point of no return.
    await readExpected(folder, write, context.verify)
    if (current !== undefined) await keepPrevious(folder, current, context.onStep)
    await renameInFolder(folder, temp, KEYRING_NAME)
  } catch (cause) {
    await removeIfPossible(folder, temp)
    throw cause
  }
  context.onStep('keyring-renamed')
  await syncFolder(folder)
  context.onStep('folder-synced')
  return 'written'
}

async function readExpected(
  folder: Folder,
  write: KeyringWrite,
  verify: VerifyKeyring,
): Promise<Uint8Array | undefined> {
  const current = await readKeyringFrom(folder, verify)
  const { expectedCurrent } = write
  const expected =
    current === undefined || expectedCurrent === undefined
      ? current === expectedCurrent
      : sameBytes(current, expectedCurrent)
  if (expected) return current
  throw new StoreError(
    'STORE_CHANGED',
    `${folder.shown(KEYRING_NAME)} ${current === undefined ? 'was never written' : 'is not what was read before'}: ` +
      `somebody else works on this store; read it again. Nothing was replaced`,
  )
}

async function prove(folder: Folder, write: KeyringWrite, bytes: Uint8Array): Promise<void> {
  try {
    await write.prove(bytes)
  } catch (cause) {
    // A cancelled proof is a cancellation, not a bad keyring.
    write.signal.throwIfAborted()
    throw new StoreError(
      'STORE_PROOF_FAILED',
      `the keyring for ${folder.path} could not be opened back, so it was not put in place (${describeCause(cause)})`,
      { cause },
    )
  }
}

async function readBack(folder: Folder, name: string, written: Uint8Array): Promise<Uint8Array> {
  const bytes = await readStoreFile(folder, name)
  if (bytes !== undefined && sameBytes(bytes, written)) return bytes
  throw new StoreError(
    'STORE_WRITE_FAILED',
    `${folder.shown(name)} gives back other bytes than were written: check the disk; nothing was replaced`,
  )
}

/** A copy, not a hard link: it works on every file system, and damage to one file leaves the other whole. */
async function keepPrevious(folder: Folder, current: Uint8Array, onStep: (step: WriteStep) => void): Promise<void> {
  const temp = tempName('previous')
  await createTemp(folder, temp, current, step => {
    onStep(`previous-${step}`)
  })
  try {
    await renameInFolder(folder, temp, PREVIOUS_NAME)
  } catch (cause) {
    await removeIfPossible(folder, temp)
    throw cause
  }
  onStep('previous-renamed')
}

function createTemp(
  folder: Folder,
  name: string,
  bytes: Uint8Array,
  onStep: (step: CreateStep) => void,
): Promise<void> {
  return createFile(folder, name, { bytes, mode: FILE_MODE }, onStep)
}

/** Removes what killed writers left, and nothing that this library did not name. The writer lock is held. */
async function removeLeftovers(folder: Folder): Promise<void> {
  for (const name of await folder.list()) {
    const kind = entryKind(name)
    if (kind !== 'first-temp' && kind !== 'other-temp') continue
    try {
      await unlink(folder.at(name))
    } catch (cause) {
      throw writeFailure(folder.shown(name), cause)
    }
  }
}

async function renameInFolder(folder: Folder, from: string, to: string): Promise<void> {
  try {
    await rename(folder.at(from), folder.at(to))
  } catch (cause) {
    throw writeFailure(folder.shown(to), cause)
  }
}

async function syncFolder(folder: Folder): Promise<void> {
  try {
    await folder.sync()
  } catch (cause) {
    throw writeFailure(folder.path, cause, 'the new keyring is in place, but may not survive a power cut')
  }
}
