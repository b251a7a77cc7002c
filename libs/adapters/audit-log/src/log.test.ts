import {
  appendFileSync,
  existsSync,
  mkdirSync,
  rmSync,
  readFileSync,
  rmdirSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { type AuditEvent } from '@sealwright/audit'
import { temporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { type AuditLog, type AuditLogOptions, openAuditLog } from './log.ts'
import {
  filesOf,
  revisionsIn,
  SAMPLE_CHECKPOINT_KEY,
  sampleEvent,
  sampleOptions,
  writeSampleLog,
} from './testing/sample-log.ts'
import { verifyAuditLog } from './verify.ts'

async function sampleFolder() {
  const folder = await temporaryFolder()
  return { directory: folder.join('audit'), [Symbol.asyncDispose]: folder.remove }
}

function openSample(directory: string, more: Partial<AuditLogOptions> = {}) {
  const options = sampleOptions(directory, more)
  const log = openAuditLog(options)
  return {
    log,
    codes: () => options.failures.map(({ code }) => code),
    [Symbol.asyncDispose]: () => log[Symbol.asyncDispose](),
  }
}

function appendAll(log: AuditLog, revisions: readonly number[]): void {
  for (const revision of revisions) log.append(sampleEvent(revision))
}

const upTo = (count: number, from = 1): number[] => Array.from({ length: count }, (_, index) => index + from)
const segmentNames = (directory: string): string[] =>
  filesOf(directory).flatMap(({ name }) => (name.endsWith('.jsonl') ? name : []))
const textOf = (directory: string): string =>
  filesOf(directory)
    .map(({ bytes }) => bytes.toString())
    .join('')

describe('an audit log', () => {
  it('takes events at once and writes them in their order, each once', async () => {
    await using folder = await sampleFolder()
    {
      await using sample = openSample(folder.directory)
      appendAll(sample.log, upTo(1000))
      await expect(sample.log.flush()).resolves.toMatchObject({ kind: 'written', last: { sequence: 1001 } })
      appendAll(sample.log, upTo(10, 1001))
    }
    expect(revisionsIn(folder.directory)).toEqual(upTo(1010))
    expect((await verifyAuditLog(folder.directory)).kind).toBe('intact')
  })

  it('writes also what came without a flush', async () => {
    await using folder = await sampleFolder()
    await using sample = openSample(folder.directory)
    sample.log.append(sampleEvent(1))
    const path = `${folder.directory}/segment-00000001.jsonl`
    await waitUntil(() => existsSync(path) && readFileSync(path, 'utf8').includes('"revision":1}'), {
      what: 'the line',
      timeoutMs: 10_000,
    })
  })

  it('goes on in the same segment after a restart, and in a new one after it has grown to its size', async () => {
    await using folder = await sampleFolder()
    await writeSampleLog(folder.directory, 3)
    await writeSampleLog(folder.directory, 3)
    expect(segmentNames(folder.directory)).toEqual(['segment-00000001.jsonl'])
    await writeSampleLog(folder.directory, 3, { segmentMaxBytes: 100 })
    expect(segmentNames(folder.directory).length).toBeGreaterThan(3)
    expect((await verifyAuditLog(folder.directory)).kind).toBe('intact')
  })

  it('can be checked while it is written', async () => {
    await using folder = await sampleFolder()
    await using sample = openSample(folder.directory, { segmentMaxBytes: 5000 })
    await sample.log.flush()
    for (let round = 0; round < 50; round += 1) {
      appendAll(sample.log, upTo(20, round * 20 + 1))
      const { kind } = await verifyAuditLog(folder.directory)
      expect(['intact', 'unfinished-end']).toContain(kind)
    }
    await sample.log.flush()
    expect(revisionsIn(folder.directory)).toEqual(upTo(1000))
  })

  it('has a folder and files that are closed to others', async () => {
    await using folder = await sampleFolder()
    await writeSampleLog(folder.directory, 1)
    expect(statSync(folder.directory).mode & 0o777).toBe(0o700)
    for (const { name } of filesOf(folder.directory)) {
      expect([name, statSync(`${folder.directory}/${name}`).mode & 0o777]).toEqual([name, 0o600])
    }
  })
})

describe('checkpoints', () => {
  it('come at once with a key, after 32 lines, after a minute and at the end', async () => {
    await using folder = await sampleFolder()
    let timeMs = 0
    const lines = (): number => textOf(folder.directory).split('"kind":"checkpoint"').length - 1
    {
      await using sample = openSample(folder.directory, { now: () => timeMs })
      appendAll(sample.log, upTo(40))
      await sample.log.flush()
      expect(lines()).toBe(0)
      sample.log.setCheckpointKey(SAMPLE_CHECKPOINT_KEY)
      await sample.log.flush()
      expect(lines()).toBe(1)
      appendAll(sample.log, upTo(31, 41))
      await sample.log.flush()
      expect(lines()).toBe(1)
      appendAll(sample.log, upTo(1, 72))
      await sample.log.flush()
      expect(lines()).toBe(2)
      timeMs = 60_000
      appendAll(sample.log, upTo(1, 73))
      await sample.log.flush()
      expect(lines()).toBe(3)
      appendAll(sample.log, upTo(1, 74))
    }
    expect(lines()).toBe(4)
    const findCheckpointKey = () => SAMPLE_CHECKPOINT_KEY.key
    await expect(verifyAuditLog(folder.directory, { findCheckpointKey })).resolves.toMatchObject({
      kind: 'intact',
      summary: { tally: { checkpoints: { genuine: 4, vouchedUpTo: 79 } } },
    })
  })

  it('stop when the key is taken away', async () => {
    await using folder = await sampleFolder()
    await using sample = openSample(folder.directory)
    sample.log.setCheckpointKey(SAMPLE_CHECKPOINT_KEY)
    sample.log.setCheckpointKey(undefined)
    appendAll(sample.log, upTo(100))
    await sample.log.flush()
    expect(textOf(folder.directory).split('"kind":"checkpoint"')).toHaveLength(2)
  })
})

describe('a disk that fails', () => {
  it('is told of, and gets every line once when it works again: AUDIT_LOG_WRITE_FAILED', async () => {
    await using folder = await sampleFolder()
    await using sample = openSample(folder.directory)
    appendAll(sample.log, upTo(5))
    await sample.log.flush()
    // Lines reach the disk, but the head file cannot be made: whether they are written is in doubt.
    mkdirSync(`${folder.directory}/head.tmp`)
    appendAll(sample.log, upTo(5, 6))
    await expect(sample.log.flush()).resolves.toEqual({ kind: 'waiting', events: 5 })
    appendAll(sample.log, upTo(5, 11))
    rmdirSync(`${folder.directory}/head.tmp`)
    await expect(sample.log.flush()).resolves.toMatchObject({ kind: 'written' })
    expect(revisionsIn(folder.directory)).toEqual(upTo(15))
    expect(sample.codes()).toContain('AUDIT_LOG_WRITE_FAILED')
    expect((await verifyAuditLog(folder.directory)).kind).toBe('intact')
  })

  it('is tried again by itself', async () => {
    await using folder = await sampleFolder()
    writeFileSync(folder.directory, 'no folder')
    await using sample = openSample(folder.directory)
    appendAll(sample.log, upTo(3))
    await waitUntil(() => sample.codes().length > 2, { what: 'a few tries', timeoutMs: 10_000 })
    expect(new Set(sample.codes())).toEqual(new Set(['AUDIT_LOG_FOLDER_UNUSABLE']))
    rmSync(folder.directory)
    const path = `${folder.directory}/segment-00000001.jsonl`
    await waitUntil(() => existsSync(path) && readFileSync(path, 'utf8').includes('"revision":3}'), {
      what: 'the lines',
      timeoutMs: 10_000,
    })
  })

  it('makes further events lost once too many wait, and the loss becomes a line: AUDIT_LOG_EVENTS_LOST', async () => {
    await using folder = await sampleFolder()
    writeFileSync(folder.directory, 'no folder')
    await using sample = openSample(folder.directory, { maxWaitingEvents: 10 })
    appendAll(sample.log, upTo(25))
    await expect(sample.log.flush()).resolves.toEqual({ kind: 'waiting', events: 25 })
    expect(sample.codes().filter(code => code === 'AUDIT_LOG_EVENTS_LOST')).toHaveLength(1)
    rmSync(folder.directory)
    await expect(sample.log.flush()).resolves.toMatchObject({ kind: 'written' })
    appendAll(sample.log, [26])
    await sample.log.flush()
    expect(revisionsIn(folder.directory)).toEqual([...upTo(10), 26])
    expect(textOf(folder.directory)).toMatch(
      /"revision":10\}.*\n.*"kind":"events-lost","detail":\{"count":15\}.*\n.*"revision":26\}/,
    )
    await expect(verifyAuditLog(folder.directory)).resolves.toMatchObject({ summary: { tally: { eventsLost: 15 } } })
  })

  it('does not keep a log from being closed', async () => {
    await using folder = await sampleFolder()
    writeFileSync(folder.directory, 'no folder')
    {
      await using sample = openSample(folder.directory)
      appendAll(sample.log, upTo(3))
    }
    expect(namesIfAny(folder.directory)).toEqual([])
  })
})

describe('an event that no line can hold', () => {
  it('is told of and counted as lost, and hinders no other: AUDIT_LOG_EVENT_REFUSED', async () => {
    await using folder = await sampleFolder()
    await using sample = openSample(folder.directory)
    appendAll(sample.log, [1])
    sample.log.append({ kind: 'keyring-stored', revision: 1.5 } satisfies AuditEvent)
    appendAll(sample.log, [2])
    await sample.log.flush()
    expect(sample.codes()).toEqual(['AUDIT_LOG_EVENT_REFUSED'])
    expect(revisionsIn(folder.directory)).toEqual([1, 2])
    await expect(verifyAuditLog(folder.directory)).resolves.toMatchObject({ summary: { tally: { eventsLost: 1 } } })
  })
})

describe('a log that was closed', () => {
  it('takes nothing more, and says so: AUDIT_LOG_CLOSED', async () => {
    await using folder = await sampleFolder()
    const sample = openSample(folder.directory)
    await sample.log[Symbol.asyncDispose]()
    await sample.log[Symbol.asyncDispose]()
    appendAll(sample.log, [1])
    expect(sample.codes()).toEqual(['AUDIT_LOG_CLOSED'])
    expect(revisionsIn(folder.directory)).toEqual([])
  })
})

describe('what a power cut leaves', () => {
  it('of lines behind the head file is kept where it is whole, and named by a new segment where it is not', async () => {
    await using folder = await sampleFolder()
    const { directory } = folder
    await writeSampleLog(directory, 2)
    const headBefore = filesOf(directory).find(({ name }) => name === 'head')?.bytes ?? Buffer.alloc(0)
    await writeSampleLog(directory, 1)
    const segment = filesOf(directory).find(({ name }) => name.startsWith('segment-'))?.bytes ?? Buffer.alloc(0)
    const headEnd = segment.indexOf(headBefore.toString().slice(-67, -3)) + 64 + 3
    expect(headEnd).toBeGreaterThan(100)
    for (let length = headEnd; length <= segment.byteLength; length += 1) {
      rmSync(directory, { recursive: true })
      mkdirSync(directory, { mode: 0o700 })
      writeFileSync(`${directory}/head`, headBefore)
      writeFileSync(`${directory}/segment-00000001.jsonl`, segment.subarray(0, length))
      const isWhole = segment[length - 1] === 10
      const before = await verifyAuditLog(directory)
      expect([length, before.kind]).toEqual([length, isWhole ? 'intact' : 'unfinished-end'])
      const failures = await appendOne(directory)
      expect(failures).toEqual([])
      await expect(verifyAuditLog(directory)).resolves.toMatchObject({
        kind: 'intact',
        summary: { tally: { unfinishedEnds: isWhole ? 0 : 1 } },
      })
      expect(segmentNames(directory)).toHaveLength(isWhole ? 1 : 2)
      expect(filesOf(directory)[1]?.bytes.subarray(0, length)).toEqual(segment.subarray(0, length))
    }
  }, 120_000)

  it('and a new segment has named is found to be changed when it is', async () => {
    await using folder = await sampleFolder()
    const { directory } = folder
    await writeSampleLog(directory, 2)
    const path = `${directory}/segment-00000001.jsonl`
    const whole = readFileSync(path)
    appendFileSync(path, '{"v":1,"se')
    await expect(verifyAuditLog(directory)).resolves.toMatchObject({ kind: 'unfinished-end', bytes: 10 })
    expect(await appendOne(directory)).toEqual([])
    await expect(verifyAuditLog(directory)).resolves.toMatchObject({
      kind: 'intact',
      summary: { tally: { unfinishedEnds: 1 } },
    })
    for (const rest of ['{"v":1,"sf', '{"v":1,"s', '{"v":1,"seq', '']) {
      writeFileSync(path, Buffer.concat([whole, Buffer.from(rest)]))
      expect([rest, (await verifyAuditLog(directory)).kind]).toEqual([rest, 'broken'])
    }
  })

  it('is never more than a batch: a flood of bytes is no crash', async () => {
    await using folder = await sampleFolder()
    await writeSampleLog(folder.directory, 2)
    appendFileSync(`${folder.directory}/segment-00000001.jsonl`, Buffer.alloc(1_100_000))
    await expect(verifyAuditLog(folder.directory)).resolves.toMatchObject({
      kind: 'broken',
      fault: { kind: 'changed' },
    })
  })

  it('of an unfinished segment or head file is no part of the log', async () => {
    await using folder = await sampleFolder()
    await writeSampleLog(folder.directory, 2)
    writeFileSync(`${folder.directory}/segment.tmp`, 'half a li')
    writeFileSync(`${folder.directory}/head.tmp`, 'half a he')
    expect((await verifyAuditLog(folder.directory)).kind).toBe('intact')
    await writeSampleLog(folder.directory, 2, { segmentMaxBytes: 100 })
    expect((await verifyAuditLog(folder.directory)).kind).toBe('intact')
  })
})

describe('a log that somebody changed', () => {
  it.each<readonly [string, (directory: string) => void, string]>([
    [
      'by cutting lines off',
      directory => {
        truncateSync(`${directory}/segment-00000001.jsonl`, 400)
      },
      'cut',
    ],
    [
      'by changing a byte in the middle',
      directory => {
        const path = `${directory}/segment-00000001.jsonl`
        writeFileSync(path, readFileSync(path, 'utf8').replace('"revision":3}', '"revision":4}'))
      },
      'changed',
    ],
    [
      'by adding a flood of bytes',
      directory => {
        appendFileSync(`${directory}/segment-00000001.jsonl`, Buffer.alloc(1_100_000))
      },
      'changed',
    ],
  ])('%s goes on in a new segment, and never looks whole again: AUDIT_LOG_BROKEN', async (_what, change, fault) => {
    await using folder = await sampleFolder()
    await writeSampleLog(folder.directory, 5)
    change(folder.directory)
    {
      await using sample = openSample(folder.directory)
      appendAll(sample.log, [100])
      await expect(sample.log.flush()).resolves.toMatchObject({ kind: 'written' })
      expect(sample.codes()).toEqual(['AUDIT_LOG_BROKEN'])
    }
    await expect(verifyAuditLog(folder.directory)).resolves.toMatchObject({ kind: 'broken', fault: { kind: fault } })
    // A second start finds its own segment, and nothing to tell.
    expect(await appendOne(folder.directory)).toEqual([])
  })

  it('by removing it but for the head file begins anew, and notes that: AUDIT_LOG_BROKEN', async () => {
    await using folder = await sampleFolder()
    await writeSampleLog(folder.directory, 5)
    rmSync(`${folder.directory}/segment-00000001.jsonl`)
    expect(await appendOne(folder.directory)).toEqual(['AUDIT_LOG_BROKEN'])
    await expect(verifyAuditLog(folder.directory)).resolves.toMatchObject({
      kind: 'intact',
      summary: { begins: { kind: 'later-segment', segment: 2 }, tally: { breaksNoted: 1 } },
    })
  })

  it('in the head file alone goes on in a new segment that notes it: AUDIT_LOG_BROKEN', async () => {
    await using folder = await sampleFolder()
    await writeSampleLog(folder.directory, 5)
    writeFileSync(`${folder.directory}/head`, 'nonsense\n')
    expect(await appendOne(folder.directory)).toEqual(['AUDIT_LOG_BROKEN'])
    await expect(verifyAuditLog(folder.directory)).resolves.toMatchObject({
      kind: 'intact',
      summary: { tally: { breaksNoted: 1 } },
    })
  })

  it('holds again once the old bytes are put back', async () => {
    await using folder = await sampleFolder()
    await writeSampleLog(folder.directory, 5)
    const [, segment] = filesOf(folder.directory)
    truncateSync(`${folder.directory}/segment-00000001.jsonl`, 1000)
    expect(await appendOne(folder.directory)).toEqual(['AUDIT_LOG_BROKEN'])
    writeFileSync(`${folder.directory}/segment-00000001.jsonl`, segment?.bytes ?? '')
    await expect(verifyAuditLog(folder.directory)).resolves.toMatchObject({
      kind: 'intact',
      summary: { tally: { breaksNoted: 1 } },
    })
  })
})

async function appendOne(directory: string): Promise<readonly string[]> {
  await using sample = openSample(directory)
  sample.log.append(sampleEvent(1000))
  await sample.log.flush()
  return sample.codes()
}

function namesIfAny(directory: string): readonly string[] {
  const isFolder = statSync(directory, { throwIfNoEntry: false })?.isDirectory() ?? false
  return isFolder ? filesOf(directory).map(({ name }) => name) : []
}
