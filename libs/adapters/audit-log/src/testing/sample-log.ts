import { createSecretKey } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type AuditEvent } from '@sealwright/audit'
import { type AuditLogError } from '../errors.ts'
import { type AuditLogOptions, startAuditLog } from '../log.ts'

/** The key of the checkpoints of sample logs. */
export const SAMPLE_CHECKPOINT_KEY = { keyId: 'k1', key: createSecretKey(Buffer.alloc(32, 7)) }

/** An event that tells by its number which one it was. */
export function sampleEvent(revision: number): AuditEvent {
  return { kind: 'keyring-stored', revision }
}

/** Options with a clock that goes on by a millisecond at each look, and a list that failures go into. */
export function sampleOptions(
  directory: string,
  more: Partial<AuditLogOptions> = {},
): AuditLogOptions & { readonly failures: readonly AuditLogError[] } {
  const failures: AuditLogError[] = []
  let timeMs = Date.UTC(2025, 10, 22)
  return {
    directory,
    node: 'node-1',
    now: () => (timeMs += 1),
    onFailure: error => failures.push(error),
    retryMs: { first: 5, longest: 20 },
    ...more,
    failures,
  }
}

/** Writes a log of a few segments with events and checkpoints, and closes it. */
export async function writeSampleLog(
  directory: string,
  events: number,
  options: Partial<AuditLogOptions> = {},
): Promise<void> {
  const { failures, ...logOptions } = sampleOptions(directory, options)
  await using log = startAuditLog(logOptions, () => undefined)
  for (let revision = 1; revision <= events; revision += 1) {
    log.append(sampleEvent(revision))
    if (revision === Math.ceil(events / 2)) log.setCheckpointKey(SAMPLE_CHECKPOINT_KEY)
    await log.flush()
  }
  if (failures.length > 0) throw new AggregateError(failures, 'the sample log could not be written')
}

/** The files of a log and what is in them, sorted by name. */
export function filesOf(directory: string): readonly { readonly name: string; readonly bytes: Buffer }[] {
  return readdirSync(directory)
    .sort()
    .map(name => ({ name, bytes: readFileSync(join(directory, name)) }))
}

/** The revisions of the sample events in a log, in their order. */
export function revisionsIn(directory: string): readonly number[] {
  return filesOf(directory)
    .filter(({ name }) => name.startsWith('segment-') && name.endsWith('.jsonl'))
    .flatMap(({ bytes }) => [...bytes.toString().matchAll(/"kind":"keyring-stored","detail":\{"revision":(\d+)\}/g)])
    .map(([, revision]) => Number(revision))
}
