import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { temporaryFolder } from '@sealwright/testing-rig'
import { openAuditLog } from './log.ts'
import { type LogChildOrder } from './testing/log-child.ts'
import { revisionsIn, SAMPLE_CHECKPOINT_KEY, sampleEvent, sampleOptions } from './testing/sample-log.ts'
import { verifyAuditLog } from './verify.ts'
import { WRITE_STEPS } from './writer.ts'

/** Kills exactly at a step, by the child itself: this many at each of them. */
const KILLS_PER_STEP = 12
/** Kills by the parent after a delay, spread over the longest one. */
const RANDOM_KILLS = 80
const LONGEST_DELAY_MS = 40
/** A log is killed so often before the next one begins empty. */
const KILLS_PER_LOG = 8

const program = fileURLToPath(new URL('testing/log-child.ts', `file://${__filename}`))

type Kill = { readonly step: string; readonly delayMs?: number }

function plannedKills(): readonly Kill[] {
  const atSteps = WRITE_STEPS.flatMap(step => Array.from({ length: KILLS_PER_STEP }, () => ({ step })))
  const atRandom = Array.from({ length: RANDOM_KILLS }, (_, index) => ({
    step: '-',
    delayMs: ((index * 37) % RANDOM_KILLS) * (LONGEST_DELAY_MS / RANDOM_KILLS),
  }))
  // Interleaved: each log sees both.
  return [...atSteps, ...atRandom].map((kill, index, all) => all[(index * 53) % all.length] ?? kill)
}

/** Runs a child until it is killed; returns the last number that it said to be on the disk. */
async function runUntilKilled(directory: string, first: number, kill: Kill, compileCache: string): Promise<number> {
  const order: LogChildOrder = { directory, firstRevision: first, dieAt: kill.step }
  const child = spawn(process.execPath, [program], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { NODE_COMPILE_CACHE: compileCache },
  })
  child.stdin.end(JSON.stringify(order))
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  let last = first - 1
  const lines = createInterface({ input: child.stdout })
  lines.on('line', line => {
    last = Number(line)
  })
  const closed = once(child, 'close')
  if (kill.delayMs !== undefined) {
    await Promise.race([once(lines, 'line'), closed])
    await delay(kill.delayMs)
    child.kill('SIGKILL')
  }
  const [, signal] = (await closed) as [number | null, NodeJS.Signals | null]
  expect([signal, stderr]).toEqual(['SIGKILL', ''])
  return last
}

const findCheckpointKey = () => SAMPLE_CHECKPOINT_KEY.key

/** The log must hold, with every line that was said to be there, and take new ones. */
async function checkAndAppend(directory: string, lastSaid: number): Promise<number> {
  const verification = await verifyAuditLog(directory, { findCheckpointKey })
  // Killed before the very first segment had its name, there is no log yet.
  if (verification.kind === 'empty') expect(lastSaid).toBe(0)
  else expect(['intact', 'unfinished-end']).toContain(verification.kind)
  const found = revisionsIn(directory)
  const lastFound = found.at(-1) ?? 0
  expect(found).toEqual(Array.from({ length: lastFound }, (_, index) => index + 1))
  expect(lastFound).toBeGreaterThanOrEqual(lastSaid)
  const options = sampleOptions(directory)
  await using log = openAuditLog(options)
  log.append(sampleEvent(lastFound + 1))
  await expect(log.flush()).resolves.toMatchObject({ kind: 'written' })
  expect(options.failures).toEqual([])
  expect((await verifyAuditLog(directory, { findCheckpointKey })).kind).toBe('intact')
  return lastFound + 2
}

describe('kill -9', () => {
  it(`at every step and at random points, ${WRITE_STEPS.length * KILLS_PER_STEP + RANDOM_KILLS} times, leaves a log that holds`, async () => {
    await using compileCache = await temporaryFolder()
    const kills = [...plannedKills()]
    expect(kills).toHaveLength(WRITE_STEPS.length * KILLS_PER_STEP + RANDOM_KILLS)
    while (kills.length > 0) {
      await using folder = await temporaryFolder()
      const directory = folder.join('audit')
      let next = 1
      for (const kill of kills.splice(0, KILLS_PER_LOG)) {
        const lastSaid = await runUntilKilled(directory, next, kill, compileCache.path)
        next = await checkAndAppend(directory, lastSaid)
      }
    }
  }, 240_000)
})
