import {
  TPM_CAP_HANDLES,
  TPM_CAP_TPM_PROPERTIES,
  TPM_CC_GetCapability,
  type TpmReader,
  concat,
  u32,
} from '@sealwright/tpm-wire'

import { type Session } from '../authorization.ts'
import { type TpmConnection } from '../connection.ts'
import { TpmError } from '../errors.ts'
import { readResult } from '../result.ts'

const NOTHING = new Uint8Array(0)
/** Most entries asked for at a time; a TPM returns as many as its buffer holds. */
const MAX_ENTRIES = 64
/** A handle is its type in the highest octet, and an index (Part 2, clause 7.2). */
const HANDLE_INDEX_MASK = 0x00ff_ffff

/**
 * TPM2_GetCapability of TPM_CAP_HANDLES (Part 3, clause 30.2; Part 2, clause 10.9.4).
 *
 * @param first - the kind: `TRANSIENT_FIRST`, or `HMAC_SESSION_FIRST`, which stands for loaded sessions of every type.
 */
export async function readHandles(tpm: TpmConnection, first: number): Promise<readonly number[]> {
  return readList(tpm, {
    capability: TPM_CAP_HANDLES,
    first,
    end: first + HANDLE_INDEX_MASK + 1,
    readEntry: reader => reader.u32(),
    // Among loaded sessions stand handles of another type than the one that was asked for.
    after: handle => first + (handle & HANDLE_INDEX_MASK) + 1,
  })
}

/**
 * TPM2_GetCapability of TPM_CAP_TPM_PROPERTIES (Part 3, clause 30.2; Part 2, clause 10.9.9).
 *
 * @param auditSession - a salted session, for an answer that nobody on the bus can change.
 * @returns The properties from `first` on, at most `count`; a TPM leaves out those it does not have.
 */
export async function readProperties(
  tpm: TpmConnection,
  first: number,
  count: number,
  auditSession?: Session,
): Promise<ReadonlyMap<number, number>> {
  const properties = await readList(tpm, {
    capability: TPM_CAP_TPM_PROPERTIES,
    first,
    end: first + count,
    readEntry: reader => [reader.u32(), reader.u32()] as const,
    after: ([tag]) => tag + 1,
    auditSession,
  })
  return new Map(properties)
}

interface ListQuestion<Entry> {
  readonly capability: number
  readonly first: number
  /** Nothing is asked from here on. */
  readonly end: number
  readonly readEntry: (reader: TpmReader) => Entry
  /** Where to go on after an entry. */
  readonly after: (entry: Entry) => number
  readonly auditSession?: Session | undefined
}

/** Asks until the TPM has no more to tell: it need not return more than one entry at a time (Part 3, clause 30.2.1). */
async function readList<Entry>(tpm: TpmConnection, question: ListQuestion<Entry>): Promise<readonly Entry[]> {
  const { end } = question
  const list: Entry[] = []
  let next = question.first
  for (;;) {
    const { entries, moreData } = await readPart(tpm, question, next, Math.min(end - next, MAX_ENTRIES))
    list.push(...entries)
    const last = entries.at(-1)
    if (!moreData || last === undefined) return list
    const following = question.after(last)
    if (following >= end) return list
    if (following <= next) throw new TpmError('TPM_PROTOCOL', 'TPM2_GetCapability lists the same entry again')
    next = following
  }
}

async function readPart<Entry>(
  tpm: TpmConnection,
  { capability, readEntry, auditSession }: ListQuestion<Entry>,
  first: number,
  count: number,
): Promise<{ readonly entries: readonly Entry[]; readonly moreData: boolean }> {
  const result = await tpm.run(
    {
      name: 'TPM2_GetCapability',
      commandCode: TPM_CC_GetCapability,
      handles: [],
      parameters: concat(u32(capability), u32(first), u32(count)),
    },
    auditSession && {
      kind: 'session',
      session: auditSession,
      authValue: NOTHING,
      provesAuthValue: false,
      audits: true,
    },
  )
  return readResult('TPM2_GetCapability', result.parameters, reader => {
    const moreData = reader.u8() !== 0
    const answered = reader.u32()
    if (answered !== capability) throw new RangeError(`capability ${answered}, not ${capability}`)
    return { moreData, entries: Array.from({ length: reader.u32() }, () => readEntry(reader)) }
  })
}
