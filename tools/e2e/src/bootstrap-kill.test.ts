import { randomInt } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type SealedNode } from '@sealwright/testing-cluster'
import {
  BOOTSTRAP_EXIT,
  expectBootstraps,
  expectRefusal,
  expectSealClosed,
  expectStoreOpens,
  NO_SEAL_KEY,
  startBootstrap,
} from './bootstrap-run.ts'
import { newNode, type NewNode } from './served-node.ts'
import { keyringPath } from './store-files.ts'
import { testScope } from './test-scope.ts'

/** Kills of each kind of run. What it takes to hit them all: more runs, since some end before their kill. */
const KILLS = 40

/** The latest kill, in runs: a little after the usual end, to hit the very end on a busy machine too. */
const LATEST_KILL = 1.15

const scope = testScope()
let fresh: NewNode
let node: SealedNode
let sealKeyPath: string

beforeEach(async () => {
  fresh = await newNode(scope)
  ;({ node, sealKeyPath } = fresh)
})

describe('bootstrap-init, killed at any moment', () => {
  it('leaves a new node with a store that opens through the TPM, or with none at all', async () => {
    const seen = await killAtRandom(async () => {
      const names = existsSync(node.storePath) ? await readdir(node.storePath) : []
      const isWritten = names.includes('keyring')
      if (isWritten) {
        await expectStoreOpens(node)
      } else {
        for (const name of names) expect(name).toMatch(/^((agent|writer)\.lock|keyring\.first\.[0-9a-f]{16}\.tmp)$/)
        expectRefusal(await node.bootstrap(NO_SEAL_KEY), 'BOOTSTRAP_KEY_MISSING', BOOTSTRAP_EXIT.sealKey)
        // Whatever was left behind, the next run goes well and clears it away.
        await expectBootstraps(node, sealKeyPath, 'created')
        expect((await readdir(node.storePath)).sort()).toEqual(['agent.lock', 'keyring', 'writer.lock'])
      }
      await rm(node.storePath, { recursive: true })
      if (isWritten) return 'opens'
      return names.length === 0 ? 'nothing' : 'traces of a first write'
    })

    expect(seen.get('killed: nothing')).toBeGreaterThan(0)
  })

  it('leaves a node whose TPM was replaced with the old keyring or with the new one, which opens', async () => {
    await expectBootstraps(node, sealKeyPath, 'created')
    const original = scope.folder.join('original')
    await cp(node.storePath, original, { recursive: true })
    const oldKeyring = await readFile(join(original, 'keyring'))
    await node.tpm.replace()

    const seen = await killAtRandom(async () => {
      const isOld = (await readFile(keyringPath(node))).equals(oldKeyring)
      if (isOld) {
        await expectSealClosed(node, 'TPM_REPLACED')
        await expectBootstraps(node, sealKeyPath, 'extended', ['--new-tpm'])
      } else {
        await expectStoreOpens(node)
      }
      expect((await readFile(join(node.storePath, 'keyring.previous'))).equals(oldKeyring)).toBe(true)
      await rm(node.storePath, { recursive: true })
      await cp(original, node.storePath, { recursive: true })
      return isOld ? 'old' : 'new'
    }, ['--new-tpm'])

    expect(seen.get('killed: old')).toBeGreaterThan(0)
  })
})

/** Kills `KILLS` runs at random moments, and looks at the store after each. Returns how often each outcome was seen. */
async function killAtRandom(
  look: () => Promise<string>,
  extraArgs: readonly string[] = [],
): Promise<ReadonlyMap<string, number>> {
  const seen = new Map<string, number>()
  let usualMs = (await runAndKill(extraArgs)).tookMs
  await look()
  for (let kills = 0; kills < KILLS;) {
    const { tookMs, killed } = await runAndKill(extraArgs, randomMoment() * usualMs * LATEST_KILL)
    // A run that was quicker than its kill says how long one takes by now.
    if (killed) kills += 1
    else usualMs = (usualMs + tookMs) / 2
    const outcome = `${killed ? 'killed' : 'ended'}: ${await look()}`
    seen.set(outcome, (seen.get(outcome) ?? 0) + 1)
  }
  process.stdout.write(`bootstrap-init, ${KILLS} kills: ${JSON.stringify(Object.fromEntries(seen))}\n`)
  return seen
}

/** Runs `bootstrap-init` and kills it after `afterMs`, or never. Returns how long it ran and whether it was killed. */
async function runAndKill(
  extraArgs: readonly string[],
  afterMs?: number,
): Promise<{ readonly tookMs: number; readonly killed: boolean }> {
  const startedAtMs = performance.now()
  await using program = await startBootstrap(fresh, extraArgs)
  if (afterMs !== undefined) {
    // The moment is what this test is about: nothing can be waited for.
    await delay(afterMs)
    program.kill('SIGKILL')
  }
  const { signal, code } = await program.exited
  if (signal === null) expect(code).toBe(0)
  return { tookMs: performance.now() - startedAtMs, killed: signal === 'SIGKILL' }
}

/** 0 to 1, later moments more often: the first half of a run only reads. */
function randomMoment(): number {
  return Math.sqrt(randomInt(1_000) / 1_000)
}
