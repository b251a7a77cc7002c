import { createSecretKey, type KeyObject } from 'node:crypto'
import { rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { checkEvent, encodeEvent, decodeLine } from '@sealwright/audit'
import { temporaryFolder } from '@sealwright/testing-rig'
import { filesOf, SAMPLE_CHECKPOINT_KEY, writeSampleLog } from './testing/sample-log.ts'
import { type AuditVerification, type VerifyOptions } from './verification.ts'
import { verifyAuditLog } from './verify.ts'

const LINE_FEED = 10
/** Each segment then gets a few lines. */
const SMALL_SEGMENT_BYTES = 800
const findCheckpointKey = (keyId: string): KeyObject | undefined =>
  keyId === SAMPLE_CHECKPOINT_KEY.keyId ? SAMPLE_CHECKPOINT_KEY.key : undefined
const withKey: VerifyOptions = { findCheckpointKey }

/** A log in a folder of its own, whose files can be replaced and put back. */
async function sampleLog(events: number) {
  const folder = await temporaryFolder()
  const directory = folder.join('audit')
  await writeSampleLog(directory, events, { segmentMaxBytes: SMALL_SEGMENT_BYTES })
  const files = filesOf(directory)
  return {
    directory,
    files,
    segments: files.filter(({ name }) => name.endsWith('.jsonl')),
    verify: (options: VerifyOptions = withKey) => verifyAuditLog(directory, options),
    write: (name: string, bytes: Uint8Array) => {
      writeFileSync(`${directory}/${name}`, bytes)
    },
    remove: (name: string) => {
      rmSync(`${directory}/${name}`)
    },
    restore: () => {
      for (const { name, bytes } of files) writeFileSync(`${directory}/${name}`, bytes)
    },
    [Symbol.asyncDispose]: folder.remove,
  }
}

function faultOf(verification: AuditVerification): string {
  if (verification.kind !== 'broken') return verification.kind
  const { kind, segment, line } = verification.fault
  return `${kind} at ${segment}:${line}`
}

/** The lines of a segment, each with its line feed. */
function linesOf(bytes: Buffer): readonly Buffer[] {
  const ends = [...bytes.entries()].flatMap(([index, byte]) => (byte === LINE_FEED ? [index + 1] : []))
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end))
}

/** A line of other content in the place of one, its hash made anew. */
function forgedLine(original: Buffer): Buffer {
  const decoded = decodeLine(original.subarray(0, -1))
  if (decoded.kind === 'flawed') throw new Error(decoded.flaw)
  const { sequence, previousHash, timeMs, node } = decoded.line
  const event = checkEvent({ kind: 'keyring-stored', revision: 999 })
  return Buffer.from(encodeEvent(event, { sequence: sequence - 1, hash: previousHash }, { timeMs, node }).text)
}

describe('a log as it was written', () => {
  it('is intact, and says what it holds', async () => {
    await using log = await sampleLog(9)
    const verification = await log.verify()
    expect(log.segments.length).toBeGreaterThan(3)
    expect(verification).toMatchObject({
      kind: 'intact',
      summary: {
        begins: { kind: 'first-segment' },
        checkpointsChecked: true,
        expectedHead: 'not-given',
        tally: { unknownKinds: 0, eventsLost: 0, unfinishedEnds: 0, breaksNoted: 0, checkpoints: { unchecked: 0 } },
      },
    })
    if (verification.kind !== 'intact') throw new Error('not intact')
    const { tally, last } = verification.summary
    expect(tally.lines).toBe(last.sequence)
    expect(tally.checkpoints.genuine).toBe(2)
    expect(tally.checkpoints.vouchedUpTo).toBe(last.sequence)
    expect(tally.lastTimeMs).toBeGreaterThan(tally.firstTimeMs ?? Infinity)
  })

  it('says that checkpoints were not checked without their key', async () => {
    await using log = await sampleLog(4)
    const summaries = [await log.verify({}), await log.verify({ findCheckpointKey: () => undefined })]
    expect(summaries).toMatchObject([
      { summary: { checkpointsChecked: false, tally: { checkpoints: { genuine: 0, unchecked: 2 } } } },
      { summary: { checkpointsChecked: true, tally: { checkpoints: { genuine: 0, unchecked: 2, vouchedUpTo: 0 } } } },
    ])
  })

  it('is empty where there is none', async () => {
    await using folder = await temporaryFolder()
    await expect(verifyAuditLog(folder.path)).resolves.toEqual({ kind: 'empty' })
  })

  it('is not looked for in a folder that there is not: AUDIT_LOG_FOLDER_UNUSABLE', async () => {
    await using folder = await temporaryFolder()
    await expect(verifyAuditLog(folder.join('none'))).rejects.toMatchObject({ code: 'AUDIT_LOG_FOLDER_UNUSABLE' })
  })

  it('is not read where a link stands in the place of a file: AUDIT_LOG_UNREADABLE', async () => {
    await using log = await sampleLog(1)
    await using other = await temporaryFolder()
    log.remove('head')
    symlinkSync(other.path, `${log.directory}/head`)
    await expect(log.verify()).rejects.toMatchObject({ code: 'AUDIT_LOG_UNREADABLE' })
  })

  it('is no longer checked once the signal is aborted', async () => {
    await using log = await sampleLog(1)
    const reason = new Error('enough')
    await expect(log.verify({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  })
})

describe('a change', () => {
  it('of any single bit is found', async () => {
    await using log = await sampleLog(2)
    const missed: string[] = []
    for (const { name, bytes } of log.files) {
      for (let bit = 0; bit < bytes.byteLength * 8; bit += 1) {
        const flipped = Buffer.from(bytes)
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        log.write(name, flipped)
        if ((await log.verify({})).kind !== 'broken') missed.push(`${name}: bit ${bit}`)
      }
      log.write(name, bytes)
    }
    expect(missed).toEqual([])
    expect((await log.verify()).kind).toBe('intact')
  }, 240_000)

  it('of a line is found there where its hash is not its own, and behind it where it was made anew', async () => {
    await using log = await sampleLog(9)
    const [, second] = log.segments
    const lines = linesOf(second?.bytes ?? Buffer.alloc(0))
    const changed = Buffer.from(lines[1]?.toString().replace('"revision":', '"revision":1') ?? '')
    log.write(second?.name ?? '', Buffer.concat([lines[0] ?? changed, changed, ...lines.slice(2)]))
    expect(faultOf(await log.verify())).toBe('changed at 2:2')
    const forged = forgedLine(lines[1] ?? changed)
    log.write(second?.name ?? '', Buffer.concat([lines[0] ?? changed, forged, ...lines.slice(2)]))
    expect(faultOf(await log.verify())).toBe(lines.length > 2 ? 'changed at 2:3' : 'changed at 3:1')
  })

  it('of the last line is found by the head file, however well its hash was made anew', async () => {
    await using log = await sampleLog(3)
    const last = log.segments.at(-1)
    const lines = linesOf(last?.bytes ?? Buffer.alloc(0))
    log.write(last?.name ?? '', Buffer.concat([...lines.slice(0, -1), forgedLine(lines.at(-1) ?? Buffer.alloc(0))]))
    expect(faultOf(await log.verify())).toBe(`changed at ${log.segments.length}:${lines.length}`)
  })
})

describe('a cut', () => {
  it('of any length at the end of any file is found', async () => {
    await using log = await sampleLog(4)
    const missed: string[] = []
    for (const { name, bytes } of log.files) {
      for (let length = 0; length < bytes.byteLength; length += 1) {
        log.write(name, bytes.subarray(0, length))
        if ((await log.verify({})).kind !== 'broken') missed.push(`${name}: ${length} bytes left`)
      }
      log.write(name, bytes)
    }
    expect(missed).toEqual([])
  }, 120_000)

  it('of any run of lines is found, and called a cut', async () => {
    await using log = await sampleLog(6)
    for (const [index, { name, bytes }] of log.segments.entries()) {
      const lines = linesOf(bytes)
      for (let from = 0; from < lines.length; from += 1) {
        for (let to = from + 1; to <= lines.length; to += 1) {
          log.write(name, Buffer.concat([...lines.slice(0, from), ...lines.slice(to)]))
          const isWholeEnd = to === lines.length && index + 1 < log.segments.length
          const place = isWholeEnd && from > 0 ? `${index + 2}:1` : `${index + 1}:${from + 1}`
          expect([from, to, faultOf(await log.verify())]).toEqual([from, to, `cut at ${place}`])
        }
      }
      log.write(name, bytes)
    }
  })

  it('of the end is found by the position that was noted elsewhere, though the head file was made anew', async () => {
    await using log = await sampleLog(6)
    const intact = await log.verify()
    if (intact.kind !== 'intact') throw new Error(intact.kind)
    const { last } = intact.summary
    const file = log.segments.at(-1)
    const lines = linesOf(file?.bytes ?? Buffer.alloc(0))
    const left = decodeLine((lines.at(-2) ?? Buffer.alloc(1)).subarray(0, -1))
    if (left.kind === 'flawed') throw new Error(left.flaw)
    log.write(file?.name ?? '', Buffer.concat(lines.slice(0, -1)))
    const { sequence, hash } = left.line
    log.write('head', Buffer.from(`{"v":1,"segment":${last.segment},"seq":${sequence},"hash":"${hash}"}\n`))
    expect((await log.verify()).kind).toBe('intact')
    expect(faultOf(await log.verify({ expectedHead: last }))).toBe(`cut at ${last.segment}:${lines.length}`)
    log.restore()
    await expect(log.verify({ expectedHead: last })).resolves.toMatchObject({ summary: { expectedHead: 'met' } })
    const other = { sequence: last.sequence, hash: '0'.repeat(64) }
    expect(faultOf(await log.verify({ expectedHead: other }))).toBe(`changed at ${last.segment}:${lines.length}`)
  })
})

describe('a reordering', () => {
  it('of any two lines is found, and called so', async () => {
    await using log = await sampleLog(6)
    const places = log.segments.flatMap(({ bytes }, segment) => linesOf(bytes).map((_, line) => ({ segment, line })))
    for (const [index, one] of places.entries()) {
      for (const other of places.slice(index + 1)) {
        const lines = log.segments.map(({ bytes }) => [...linesOf(bytes)])
        const [first, second] = [lines[one.segment]?.[one.line], lines[other.segment]?.[other.line]]
        if (first === undefined || second === undefined) throw new Error('no such line')
        lines[one.segment]?.splice(one.line, 1, second)
        lines[other.segment]?.splice(other.line, 1, first)
        for (const [segment, { name }] of log.segments.entries()) log.write(name, Buffer.concat(lines[segment] ?? []))
        const place = `reordered at ${one.segment + 1}:${one.line + 1}`
        expect([one, other, faultOf(await log.verify())]).toEqual([one, other, place])
      }
    }
  })

  it('is found where a line stands there twice', async () => {
    await using log = await sampleLog(2)
    const [{ name, bytes } = { name: '', bytes: Buffer.alloc(0) }] = log.segments
    const lines = linesOf(bytes)
    log.write(name, Buffer.concat([lines[0] ?? bytes, lines[1] ?? bytes, lines[1] ?? bytes, ...lines.slice(2)]))
    expect(faultOf(await log.verify())).toBe('reordered at 1:3')
  })

  it('of two segments is found', async () => {
    await using log = await sampleLog(9)
    const [, second, third] = log.segments
    log.write(second?.name ?? '', third?.bytes ?? Buffer.alloc(0))
    log.write(third?.name ?? '', second?.bytes ?? Buffer.alloc(0))
    expect(faultOf(await log.verify())).toBe('reordered at 2:1')
  })
})

describe('whole segments', () => {
  it('may be removed from the beginning on, and the verdict says so', async () => {
    await using log = await sampleLog(9)
    for (const [index, { name }] of log.segments.slice(0, -1).entries()) {
      log.remove(name)
      const verification = await log.verify()
      expect(verification).toMatchObject({
        kind: 'intact',
        summary: { begins: { kind: 'later-segment', segment: index + 2 } },
      })
    }
    const noted = { sequence: 2, hash: '0'.repeat(64) }
    await expect(log.verify({ expectedHead: noted })).resolves.toMatchObject({ summary: { expectedHead: 'not-met' } })
  })

  it('that are missing in between or at the end are found', async () => {
    await using log = await sampleLog(9)
    for (const [index, { name, bytes }] of log.segments.entries()) {
      if (index === 0) continue
      log.remove(name)
      expect(faultOf(await log.verify())).toBe(`missing-segment at ${index + 1}:1`)
      log.write(name, bytes)
    }
    for (const { name } of log.segments) log.remove(name)
    expect(faultOf(await log.verify())).toBe('missing-segment at 1:1')
  })

  it('that lack their first line are no beginning', async () => {
    await using log = await sampleLog(9)
    const [first, second] = log.segments
    log.remove(first?.name ?? '')
    log.write(second?.name ?? '', Buffer.concat(linesOf(second?.bytes ?? Buffer.alloc(0)).slice(1)))
    expect(faultOf(await log.verify())).toBe('cut at 2:1')
  })
})

describe('the head file', () => {
  it('is missed where more than a crash can explain came before', async () => {
    await using folder = await temporaryFolder()
    const directory = folder.join('audit')
    await writeSampleLog(directory, 300)
    rmSync(`${directory}/head`)
    expect(faultOf(await verifyAuditLog(directory))).toMatch(/^missing-head at 1:/)
  })

  it('may lack where a crash came before the first one was written', async () => {
    await using log = await sampleLog(2)
    log.remove('head')
    expect((await log.verify()).kind).toBe('intact')
  })

  it('that is no head is named', async () => {
    await using log = await sampleLog(2)
    log.write('head', Buffer.from('{}\n'))
    expect(faultOf(await log.verify())).toBe('malformed-head at 1:1')
    log.write('head', Buffer.alloc(1000))
    expect(faultOf(await log.verify())).toBe('malformed-head at 1:1')
  })

  it('that is older than a crash can explain is named', async () => {
    await using folder = await temporaryFolder()
    const directory = folder.join('audit')
    await writeSampleLog(directory, 1)
    const old = filesOf(directory).find(({ name }) => name === 'head')
    await writeSampleLog(directory, 300)
    writeFileSync(`${directory}/head`, old?.bytes ?? Buffer.alloc(0))
    expect(faultOf(await verifyAuditLog(directory))).toMatch(/^stale-head at 1:/)
  })
})

describe('a checkpoint', () => {
  it('shows that the past was rewritten by somebody without the key', async () => {
    await using folder = await temporaryFolder()
    const directory = folder.join('audit')
    await writeSampleLog(directory, 6)
    // For whoever has the real key, this is a log that somebody else wrote, under a key of the same name.
    const realKey = createSecretKey(Buffer.alloc(32, 9))
    const forged = await verifyAuditLog(directory, { findCheckpointKey: () => realKey })
    expect(faultOf(forged)).toMatch(/^forged-checkpoint at 1:/)
    expect((await verifyAuditLog(directory, withKey)).kind).toBe('intact')
    expect((await verifyAuditLog(directory)).kind).toBe('intact')
  })
})

describe('a line of a newer version', () => {
  it('is called unsupported', async () => {
    await using log = await sampleLog(2)
    const [{ name, bytes } = { name: '', bytes: Buffer.alloc(0) }] = log.segments
    log.write(name, Buffer.from(bytes.toString().replace('"v":1', '"v":2')))
    expect(faultOf(await log.verify())).toBe('unsupported at 1:1')
  })
})
