import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { failureOf, programLog } from './log.ts'

describe('a log', () => {
  it('has one JSON object a line, with time, level and pid, as soon as it is said', () => {
    const folder = mkdtempSync(join(tmpdir(), 'log-'))
    try {
      const path = join(folder, 'log')
      programLog(openSync(path, 'a')).warn({ code: 'SOME_CODE' }, 'what happened')
      const line = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
      expect(line).toMatchObject({ level: 'warn', pid: process.pid, code: 'SOME_CODE', msg: 'what happened' })
      expect(line.time).toMatch(/^\d{4}-\d{2}-\d{2}T[\d:.]+Z$/)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('does not end its program when it cannot be written', async () => {
    const full = openSync('/dev/full', 'w')
    try {
      const log = programLog(full)
      for (let tries = 0; tries < 3; tries += 1) log.info('again')
      // An error without a listener would be thrown in one of the next turns.
      await new Promise(setImmediate)
    } finally {
      closeSync(full)
    }
  })
})

describe('what is said of an error', () => {
  it('is its code, its message and the code of its cause, not the words of the cause', () => {
    const cause = Object.assign(new Error('EACCES: /home/somebody/pin'), { code: 'EACCES' })
    const error = Object.assign(new Error('cannot read the PIN', { cause }), { code: 'SECRET_FILE_UNREADABLE' })
    expect(failureOf(error)).toEqual({
      code: 'SECRET_FILE_UNREADABLE',
      reason: 'cannot read the PIN',
      causeCode: 'EACCES',
    })
    expect(failureOf('text')).toEqual({ reason: 'text' })
  })
})
