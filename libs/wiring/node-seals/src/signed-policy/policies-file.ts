import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { sameBytes } from '@sealwright/bytes'
import { NotFlushedError, openNewFile, replaceFile } from '@sealwright/durable-file'
import { decodePcrPolicies, encodePcrPolicies, MAX_PCR_POLICIES_BYTES, type PcrPolicy } from '@sealwright/pcr-policies'
import { hasErrorCode } from '@sealwright/system-error'
import { SignedPolicyError } from './error.ts'

/** Everybody may read it: nothing in it is secret, and signatures vouch for it. */
const FILE_MODE = 0o644

/** A policies file as it was read. */
export interface PoliciesFile {
  readonly path: string
  readonly policies: readonly PcrPolicy[]
  /** `undefined` if there was none. */
  readonly bytes: Uint8Array | undefined
}

/**
 * Reads the approved PCR policies of a node.
 *
 * @throws {@link SignedPolicyError} `POLICIES_FILE_UNREADABLE`; {PcrPoliciesError}.
 */
export async function readPoliciesFile(path: string): Promise<readonly PcrPolicy[]> {
  const { policies, bytes } = await readPoliciesFileIfAny(path)
  if (bytes !== undefined) return policies
  throw new SignedPolicyError(
    'POLICIES_FILE_UNREADABLE',
    `there is no file ${path} of approved PCR policies: put it back, or make it with sealctl tpm predict, sign and add`,
  )
}

/** Like {@link readPoliciesFile}; a missing file has no policies. */
export async function readPoliciesFileIfAny(path: string): Promise<PoliciesFile> {
  const bytes = await readBytes(path)
  return { path, policies: bytes === undefined ? [] : decodePcrPolicies(bytes), bytes }
}

/**
 * Replaces a policies file atomically: killed anywhere, the old or the new one is there, whole.
 *
 * @param former - what the new one was made from.
 * @throws {@link SignedPolicyError} `POLICIES_FILE_CHANGED`, `POLICIES_FILE_NOT_WRITTEN`; {PcrPoliciesError} if it would hold too much.
 */
export async function replacePoliciesFile(former: PoliciesFile, policies: readonly PcrPolicy[]): Promise<void> {
  const { path } = former
  const bytes = encodePcrPolicies(policies)
  const prove = async (): Promise<void> => {
    if (isSame(await readBytes(path), former.bytes)) return
    throw new SignedPolicyError(
      'POLICIES_FILE_CHANGED',
      `somebody else has written ${path} just now: look at it, and run this again; nothing was replaced`,
    )
  }
  try {
    await replaceFile(path, bytes, { mode: FILE_MODE, prove })
  } catch (cause) {
    throw cause instanceof SignedPolicyError ? cause : notWritten(path, cause)
  }
}

/**
 * Makes a policies file where there is none.
 *
 * @throws {@link SignedPolicyError} `POLICIES_FILE_EXISTS`, `POLICIES_FILE_NOT_WRITTEN`; {PcrPoliciesError}.
 */
export async function createPoliciesFile(path: string, policies: readonly PcrPolicy[]): Promise<void> {
  const bytes = encodePcrPolicies(policies)
  try {
    await using file = await openNewFile(path, { mode: FILE_MODE })
    await file.fill(bytes)
  } catch (cause) {
    if (!hasErrorCode(cause, 'EEXIST')) throw notWritten(path, cause)
    throw new SignedPolicyError('POLICIES_FILE_EXISTS', `there is a file ${path}: move it away or name another one`)
  }
}

async function readBytes(path: string): Promise<Uint8Array | undefined> {
  const unreadable = (cause: unknown) =>
    new SignedPolicyError('POLICIES_FILE_UNREADABLE', `cannot read ${path}: ${reasonOf(cause)}`, { cause })
  let file: FileHandle
  try {
    // O_NONBLOCK: a pipe in the file's place must not hang the program.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    if (hasErrorCode(cause, 'ENOENT')) return undefined
    throw unreadable(cause)
  }
  try {
    if (!(await file.stat()).isFile()) throw unreadable('it is not a regular file')
    return await readUpTo(file, MAX_PCR_POLICIES_BYTES).catch((cause: unknown) => {
      throw unreadable(cause)
    })
  } finally {
    await file.close()
  }
}

/** Reads one byte more than allowed, if there is one: the decoder then says that it is too large. */
async function readUpTo(file: FileHandle, maxBytes: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(maxBytes + 1)
  let length = 0
  while (length < buffer.byteLength) {
    const { bytesRead } = await file.read(buffer, length, buffer.byteLength - length, length)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return buffer.slice(0, length)
}

function isSame(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  if (one === undefined || other === undefined) return one === other
  return sameBytes(one, other)
}

function notWritten(path: string, cause: unknown): SignedPolicyError {
  const what =
    cause instanceof NotFlushedError
      ? cause.message
      : `cannot write ${path}, and it was left as it was: check disk and permissions (${reasonOf(cause)})`
  return new SignedPolicyError('POLICIES_FILE_NOT_WRITTEN', what, { cause })
}

function reasonOf(cause: unknown): string {
  return typeof cause === 'object' && cause !== null && 'message' in cause ? String(cause.message) : String(cause)
}
