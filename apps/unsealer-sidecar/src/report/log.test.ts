import { closeSync, openSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type SealAttempt } from '@sealwright/unseal'
import { programLog } from '@sealwright/json-log'
import { agentReporter, type AgentReporter } from './log.ts'

const failed: SealAttempt = {
  kind: 'failed',
  sealName: 'tpm',
  tookMs: 1.234,
  failure: { code: 'TPM_UNREACHABLE', message: 'no TPM answers', kind: 'transient' },
}
const opened: SealAttempt = { kind: 'opened', sealName: 'tpm', tookMs: 12.34 }

let folder: string
let fd: number
let nowMs: number
let report: AgentReporter

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'agent-log-'))
  fd = openSync(join(folder, 'log'), 'a')
  nowMs = 0
  report = agentReporter(programLog(fd), () => nowMs)
})

afterEach(async () => {
  closeSync(fd)
  await rm(folder, { recursive: true })
})

async function lines(): Promise<readonly Record<string, unknown>[]> {
  const text = await readFile(join(folder, 'log'), 'utf8')
  return text
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line) as Record<string, unknown>)
}

describe('the log of the agent', () => {
  it('has one JSON object a line, with time, level and pid, as soon as it is said', async () => {
    report.attempt(opened)
    const [line] = await lines()
    expect(line).toMatchObject({ level: 'info', pid: process.pid, msg: 'seal unwrapped', seal: 'tpm', tookMs: 12.3 })
    expect(line?.time).toMatch(/^\d{4}-\d{2}-\d{2}T[\d:.]+Z$/)
  })

  it('says the same failure once a minute, and how often it was held back', async () => {
    for (; nowMs < 150_000; nowMs += 3_000) report.attempt(failed)
    const said = await lines()
    expect(said.map(({ heldBack }) => heldBack)).toEqual([undefined, 19, 19])
    expect(said[0]).toMatchObject({ level: 'warn', code: 'TPM_UNREACHABLE', reason: 'no TPM answers', seal: 'tpm' })
  })

  it('says once of a seal that it cannot be looked after, until that changes or an operator asks', async () => {
    const failure = { code: 'KEYRING_NO_RECORD', message: 'removed', kind: 'permanent' } as const
    const rounds = [failure, failure, undefined, failure, { ...failure, code: 'TPM_BUSY' }, failure]
    for (const each of rounds) {
      report.sealsLookedAfter(new Map(each === undefined ? [] : [['tpm', each]]))
      nowMs += 3_600_000
    }
    report.sealsLookedAfter(new Map([['tpm', failure]]))
    report.startAfresh()
    report.sealsLookedAfter(new Map([['tpm', failure]]))
    const said = await lines()
    expect(said.map(({ code }) => code)).toEqual([
      ...['KEYRING_NO_RECORD', 'KEYRING_NO_RECORD', 'TPM_BUSY', 'KEYRING_NO_RECORD', 'KEYRING_NO_RECORD'],
    ])
    expect(said[0]).toMatchObject({ level: 'warn', msg: 'seal not tended', seal: 'tpm', reason: 'removed' })
  })

  it('says a failure again at once when it is another one, after a success, and when an operator asks', async () => {
    report.attempt(failed)
    report.attempt({ ...failed, failure: { ...failed.failure, code: 'TPM_TIMEOUT' } })
    report.attempt(failed)
    report.attempt(opened)
    report.attempt(failed)
    report.startAfresh()
    report.attempt(failed)
    expect((await lines()).map(({ code }) => code)).toEqual([
      'TPM_UNREACHABLE',
      'TPM_TIMEOUT',
      undefined,
      'TPM_UNREACHABLE',
      'TPM_UNREACHABLE',
    ])
  })

  it('does not grow with calls that anybody can make fail', async () => {
    const failure = { code: 'SEAL_NOT_OPEN', cause: new Error('no seal has opened yet') }
    for (let calls = 0; calls < 1_000; calls += 1) {
      report.pluginEvent({ kind: 'called', sessionId: `s${calls}`, method: 'Encrypt', tookMs: 1, failure })
      report.pluginEvent({ kind: 'called', sessionId: 's', method: 'Type', tookMs: 1 })
    }
    expect(await lines()).toMatchObject([{ msg: 'call failed', method: 'Encrypt', code: 'SEAL_NOT_OPEN' }])
  })

  it('tells each kind of event by its name and level', async () => {
    const sessionId = 's'
    report.pluginEvent({ kind: 'sessionOpened', sessionId, clientFingerprint: 'f', handOverMs: 1, openSessions: 1 })
    report.pluginEvent({ kind: 'hostConnected', sessionId, afterMs: 1 })
    report.pluginEvent({ kind: 'secondLiveSession', sessionId, otherSessionIds: ['t'] })
    report.pluginEvent({ kind: 'junkDropped', droppedBytes: 3, droppedLines: 1 })
    report.pluginEvent({ kind: 'handshakeRefused', sessionId, cause: new Error('who are you') })
    report.pluginEvent({ kind: 'requestRefused', sessionId, cause: 'odd' })
    report.pluginEvent({ kind: 'internalFailure', during: 'reading requests', cause: new Error('broken') })
    report.pluginEvent({ kind: 'sessionEnded', sessionId, reason: 'shutdown', lastedMs: 1 })
    expect((await lines()).map(({ level, msg, reason }) => [level, msg, reason])).toEqual([
      ['info', 'sessionOpened', undefined],
      ['info', 'hostConnected', undefined],
      ['warn', 'secondLiveSession', undefined],
      ['warn', 'junkDropped', undefined],
      ['warn', 'handshakeRefused', 'who are you'],
      ['warn', 'requestRefused', 'odd'],
      ['error', 'internalFailure', 'broken'],
      ['info', 'sessionEnded', 'shutdown'],
    ])
  })

  it('does not end the agent when it cannot be written', async () => {
    const full = openSync('/dev/full', 'w')
    try {
      const onFull = agentReporter(programLog(full), () => nowMs)
      for (let tries = 0; tries < 3; tries += 1) onFull.attempt(opened)
      // An error without a listener would be thrown in one of the next turns.
      await new Promise(setImmediate)
    } finally {
      closeSync(full)
    }
  })
})
