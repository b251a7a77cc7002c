import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { join } from 'node:path'
import { entryKind } from './names.ts'
import { type Child, startChild } from './testing/child.ts'
import { type ChildAnswer } from './testing/child-orders.ts'
import { sampleKeyring, sampleSequence, verifySample } from './testing/sample-keyring.ts'
import { acceptAll, namesIn, never, openSampleStore } from './testing/sample-store.ts'
import { seededRandom } from './testing/seeded-random.ts'
import { tempFolder } from './testing/temp-folder.ts'
import { WRITE_STEPS, type WriteStep } from './write-keyring.ts'

/** Kills exactly at a step, by the child itself inside the write: this many at each of the steps. */
const KILLS_PER_STEP = 18

/** Kills by the parent after a random delay. */
const RANDOM_KILLS = 300

/** Longest random delay after the child began: some six writes. */
const LONGEST_DELAY_MS = 60

/** Every so often a store starts empty, so that first writes are killed too. */
const ROUNDS_PER_STORE = 8

/** Children at once, each on a store of its own. */
const LANES = 3

const SEED = 20_251_122

/** Most time for all of it, on a busy machine. */
const LIMIT_MS = 300_000

type Kill =
  { readonly kind: 'at-step'; readonly step: WriteStep } | { readonly kind: 'random'; readonly delayMs: number }

function plannedKills(): Kill[] {
  const random = seededRandom(SEED)
  const kills: Kill[] = [
    ...WRITE_STEPS.flatMap(step => Array.from({ length: KILLS_PER_STEP }, (): Kill => ({ kind: 'at-step', step }))),
    ...Array.from({ length: RANDOM_KILLS }, (): Kill => ({ kind: 'random', delayMs: random() * LONGEST_DELAY_MS })),
  ]
  return kills
    .map(kill => ({ kill, place: random() }))
    .sort((one, other) => one.place - other.place)
    .map(({ kill }) => kill)
}

async function killOnce(child: Child, path: string, kill: Kill): Promise<void> {
  child.send({ op: 'rewrite-until-killed', path, dieAt: kill.kind === 'at-step' ? kill.step : undefined })
  if (kill.kind === 'random') {
    await child.said(answer => answer.kind === 'started')
    await delay(kill.delayMs)
    await child.kill()
  }
  const endedBy = await child.ended
  expect(child.answers.filter(answer => answer.kind === 'failed')).toEqual([])
  expect(endedBy).toBe('SIGKILL')
}

const sequencesOf = (answers: readonly ChildAnswer[], kind: 'started' | 'done'): number[] =>
  answers.flatMap(answer => (answer.kind === kind ? [answer.sequence] : []))

function whereKilled(answers: readonly ChildAnswer[]): string {
  const last = answers.at(-1)
  if (last?.kind === 'step') return last.step
  return last?.kind === 'started' ? 'before the lock' : 'between writes'
}

/** The store must hold a whole keyring, no older than the last write that was said to be done. */
async function checkAndWrite(path: string, before: number, answers: readonly ChildAnswer[]): Promise<number> {
  const lastDone = sequencesOf(answers, 'done').at(-1) ?? before
  const lastStarted = sequencesOf(answers, 'started').at(-1) ?? before
  await using store = await openSampleStore(path)
  const current = await store.readKeyring()
  const found = current === undefined ? 0 : sampleSequence(current)
  expect(found).toBeGreaterThanOrEqual(lastDone)
  expect(found).toBeLessThanOrEqual(lastStarted)
  // No keyring without the lock file that an agent will need.
  if (current !== undefined) expect(await namesIn(path)).toContain('agent.lock')
  // Also the copy must be whole, if there is one.
  if ((await namesIn(path)).includes('keyring.previous')) verifySample(await readFile(join(path, 'keyring.previous')))
  const bytes = sampleKeyring(lastStarted + 1)
  await store.writeKeyring({ bytes, expectedCurrent: current, prove: acceptAll, signal: never })
  await expect(store.readKeyring()).resolves.toEqual(bytes)
  expect(
    (await namesIn(path)).filter(name => entryKind(name) === 'first-temp' || entryKind(name) === 'other-temp'),
  ).toEqual([])
  return lastStarted + 1
}

describe('kill -9', () => {
  it(
    `at every step and at random points, ${WRITE_STEPS.length * KILLS_PER_STEP + RANDOM_KILLS} times, leaves a store that opens`,
    async () => {
      await using compileCache = await tempFolder()
      const kills = plannedKills()
      const lastSteps = new Map<string, number>()
      const startedAtMs = performance.now()
      let killed = 0
      let firstWrites = 0

      async function killOnOneStore(batch: readonly Kill[]): Promise<void> {
        await using folder = await tempFolder()
        let sequence = 0
        for (const kill of batch) {
          await using child = startChild({ compileCachePath: compileCache.path })
          await killOnce(child, folder.path, kill)
          if (sequence === 0 && sequencesOf(child.answers, 'done').length === 0) firstWrites += 1
          sequence = await checkAndWrite(folder.path, sequence, child.answers)
          killed += 1
          const label = `${kill.kind}: ${whereKilled(child.answers)}`
          lastSteps.set(label, (lastSteps.get(label) ?? 0) + 1)
        }
      }

      async function lane(): Promise<void> {
        try {
          while (kills.length > 0) await killOnOneStore(kills.splice(0, ROUNDS_PER_STORE))
        } finally {
          kills.length = 0 // a failure in one lane ends the others
        }
      }

      const lanes = await Promise.allSettled(Array.from({ length: LANES }, lane))
      expect(lanes.filter(({ status }) => status === 'rejected')).toEqual([])

      expect(killed).toBeGreaterThanOrEqual(500)
      for (const step of WRITE_STEPS) expect(lastSteps.get(`at-step: ${step}`)).toBe(KILLS_PER_STEP)
      expect(firstWrites).toBeGreaterThan(0)
      const hits = [...lastSteps].sort().map(([label, count]) => `  ${label} ${count}`)
      process.stdout.write(
        `kill -9: ${killed} kills, ${firstWrites} of them before a first write had ended, seed ${SEED}, ` +
          `${Math.round(performance.now() - startedAtMs)} ms; last step passed:\n${hits.join('\n')}\n`,
      )
    },
    LIMIT_MS,
  )
})
