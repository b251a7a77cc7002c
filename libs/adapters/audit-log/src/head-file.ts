import { rename } from 'node:fs/promises'
import { decodeHead, encodeHead, type Head, MAX_HEAD_BYTES } from '@sealwright/audit'
import { readFailure, writeFailure } from './errors.ts'
import { type LogFolder } from './folder.ts'
import { HEAD_NAME, HEAD_TEMP_NAME } from './names.ts'

/** What the head file says. */
export type FoundHead =
  { readonly kind: 'missing' } | { readonly kind: 'malformed' } | { readonly kind: 'found'; readonly head: Head }

/** How far {@link writeHead} has come. */
export type HeadStep = 'head-written' | 'head-renamed'

/** Reads the head file. @throws {@link AuditLogError} `AUDIT_LOG_UNREADABLE`. */
export async function readHead(folder: LogFolder): Promise<FoundHead> {
  await using file = await folder.openForReading(HEAD_NAME)
  if (file === undefined) return { kind: 'missing' }
  const buffer = new Uint8Array(MAX_HEAD_BYTES + 1)
  let length = 0
  try {
    for (let count = -1; count !== 0 && length < buffer.byteLength; length += count) {
      count = (await file.read(buffer, length, buffer.byteLength - length, length)).bytesRead
    }
  } catch (cause) {
    throw readFailure(folder.shown(HEAD_NAME), cause)
  }
  const head = decodeHead(buffer.subarray(0, length))
  return head === undefined ? { kind: 'malformed' } : { kind: 'found', head }
}

/** Replaces the head file in one step that survives a power cut. @throws {@link AuditLogError} `AUDIT_LOG_WRITE_FAILED`. */
export async function writeHead(folder: LogFolder, head: Head, onStep: (step: HeadStep) => void): Promise<void> {
  await using file = await folder.openForWriting(HEAD_TEMP_NAME, 'replace')
  try {
    await file.writeFile(encodeHead(head))
    await file.sync()
    onStep('head-written')
    await rename(folder.at(HEAD_TEMP_NAME), folder.at(HEAD_NAME))
    onStep('head-renamed')
  } catch (cause) {
    throw writeFailure(folder.shown(HEAD_NAME), cause)
  }
  await folder.sync()
}
