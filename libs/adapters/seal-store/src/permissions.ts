import { type Stats } from 'node:fs'
import { type FileHandle } from 'node:fs/promises'
import { shellWord, StoreError, writeFailure } from './errors.ts'
import { type Folder, FOLDER_MODE } from './folder.ts'
import { entryKind } from './names.ts'
import { openEntry } from './regular-file.ts'

/** Mode of every file in a store. */
export const FILE_MODE = 0o600

/** The bits that let anybody but the owner in. An ACL shows up here too, as the group's bits. */
const GROUP_AND_OTHERS = 0o077

/**
 * Checks that only we can reach a file or folder.
 *
 * @param path - for the message.
 * @throws {@link StoreError} `STORE_UNSAFE_PERMISSIONS`, with the command that repairs it.
 */
export function assertPrivate(path: string, stats: Stats): void {
  const mine = effectiveUserId()
  if (stats.uid !== mine) {
    throw new StoreError(
      'STORE_UNSAFE_PERMISSIONS',
      `${path} belongs to user ${stats.uid}, but this program runs as user ${mine}: ` +
        `find out why, then run: chown ${mine} ${shellWord(path)}`,
    )
  }
  if ((stats.mode & GROUP_AND_OTHERS) !== 0) {
    const mode = stats.isDirectory() ? FOLDER_MODE : FILE_MODE
    throw new StoreError(
      'STORE_UNSAFE_PERMISSIONS',
      `${path} has mode ${octal(stats.mode)}, open to others than its owner: run: chmod ${octal(mode)} ${shellWord(path)}`,
    )
  }
}

/**
 * Takes the bits of group and others from the folder and from our own files in it, where they are ours.
 *
 * For Kubernetes: a volume with `fsGroup` gets group bits on every file at every mount.
 *
 * @throws {@link StoreError} `STORE_NOT_A_FILE`, `STORE_UNREADABLE`, and the codes of a failed write.
 */
export async function tightenModes(folder: Folder): Promise<void> {
  await tighten(folder.path, folder.handle, FOLDER_MODE)
  for (const name of await folder.list()) {
    if (entryKind(name) === 'unknown') continue
    await using entry = await openEntry(folder, name)
    if (entry !== undefined) await tighten(folder.shown(name), entry, FILE_MODE)
  }
}

async function tighten(path: string, handle: FileHandle, mode: number): Promise<void> {
  const stats = await handle.stat()
  // What belongs to somebody else is left alone: assertPrivate will refuse it and say so.
  if (stats.uid !== effectiveUserId() || (stats.mode & GROUP_AND_OTHERS) === 0) return
  try {
    await handle.chmod(mode)
  } catch (cause) {
    throw writeFailure(path, cause)
  }
}

function effectiveUserId(): number {
  if (process.geteuid === undefined) throw new StoreError('STORE_UNSAFE_PERMISSIONS', 'this system has no file owners')
  return process.geteuid()
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0')
}
