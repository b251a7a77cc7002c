import { type Secret } from '@sealwright/secret'
import { BootstrapError } from './errors.ts'
import { assertOnlyOursToSwitch, assertOnlyOursToWrite, KUBERNETES_DATA, readerWarnings } from './key-safety.ts'
import { type Mounted, openInside, openMounted, readStart } from './mounted-file.ts'
import { parseKeyId, parseSealKey } from './seal-key.ts'

/** The cluster's seal key as it was handed to this node. */
export interface HandedKey {
  readonly sealKey: Secret
  /** What OpenBao will be told the key is called; derived from the key when nobody chose one. */
  readonly keyId: string | undefined
}

/** A key that was read from a file. */
export interface MountedKey extends HandedKey {
  /** For the operator: what is not right about the file, though it was used. */
  readonly warnings: readonly string[]
}

/**
 * Reads the seal key from a mounted file, or from a folder in the form of the Kubernetes Secret
 * `openbao-bootstrap-seal-key`: `seal-key` (base64) and, if wanted, `key-id`, both from the same version of it.
 *
 * @returns `undefined` if there is nothing at `path`: the Secret is deleted once every node has its own way in.
 * @throws {@link BootstrapError} `BOOTSTRAP_KEY_UNSAFE` if somebody else could have put it there; `BOOTSTRAP_KEY_UNREADABLE`,
 *   `_NEWLINE`, `_BASE64`, `_LENGTH`, `_ID` for what is there and cannot be used.
 */
export async function readHandedKey(path: string): Promise<MountedKey | undefined> {
  await using mounted = await openMounted(path)
  if (mounted?.kind !== 'folder') return mounted === undefined ? undefined : await readKey(mounted, undefined)
  await using version = await openInside(mounted, KUBERNETES_DATA)
  const folder = version ?? mounted
  await using file = await openInside(folder, 'seal-key')
  if (file === undefined) return undefined
  if (version === undefined) assertOnlyOursToWrite(mounted)
  else await assertOnlyOursToSwitch(mounted, version)
  return await readKey(file, await readKeyId(folder))
}

async function readKey(file: Mounted, keyId: string | undefined): Promise<MountedKey> {
  assertUsable(file)
  const text = await readStart(file)
  try {
    return { sealKey: parseSealKey(text), keyId, warnings: readerWarnings(file) }
  } finally {
    text.fill(0)
  }
}

async function readKeyId(folder: Mounted): Promise<string | undefined> {
  await using file = await openInside(folder, 'key-id')
  if (file === undefined) return undefined
  assertUsable(file)
  return parseKeyId(Buffer.from(await readStart(file)).toString('latin1'))
}

function assertUsable(file: Mounted): void {
  if (file.kind === 'folder') {
    throw new BootstrapError('BOOTSTRAP_KEY_UNREADABLE', `${file.path} is a folder: mount the Secret one level up`)
  }
  assertOnlyOursToWrite(file)
}
