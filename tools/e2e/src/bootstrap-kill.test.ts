import { randomInt } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createSealedNode, programCommand, type SealedNode } from '@sealwright/testing-cluster'
import { startProcess, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { writeSealKey } from './seal-key.ts'
import { answerOf, expectOpens, expectRefusal, NO_SEAL_KEY } from './store-files.ts'

/** Kills of each kind of run. What it takes to hit them all: more runs, since some end before their kill. */
const KILLS = 40

/** The latest kill, in runs: a little after the usual end, to hit the very end on a busy machine too. */
const LATEST_KILL = 1.15

/** 0 to 1, later moments more often: the first half of a run only reads. */
function randomMoment(): number {
  return Math.sqrt(randomInt(1_000) / 1_000)
}

const opens = { name: 'tpm', state: 'opens' }

let folder: TemporaryFolder
let node: SealedNode
let sealKeyPath: string

beforeEach(async () => {
  folder = await temporaryFolder()
  node = await createSealedNode({ name: 'solo', directory: folder.path })
  sealKeyPath = await writeSealKey(folder.path)
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
  await folder.remove()
})

/** Runs `bootstrap-init` and kills it after `afterMs`, or never. Returns how long it ran and whether it was killed. */
async function runAndKill(afterMs?: number): Promise<{ readonly tookMs: number; readonly killed: boolean }> {
  const { command, args } = programCommand('bootstrap-init')
  const startedAtMs = performance.now()
  const program = await startProcess({
    name: 'killed',
    command,
    args: [...args, '--config', node.configPath, '--seal-key', sealKeyPath, '--connector', node.pluginDirectory],
    logDirectory: folder.path,
  })
  if (afterMs !== undefined) {
    // The moment is what this test is about: nothing can be waited for.
    await delay(afterMs)
    program.kill('SIGKILL')
  }
  const { signal, code } = await program.exited
  if (signal === null) expect(code).toBe(0)
  return { tookMs: performance.now() - startedAtMs, killed: signal === 'SIGKILL' }
}

/** Kills `KILLS` runs at random moments, and looks at the store after each. Returns how often each outcome was seen. */
async function killAtRandom(look: () => Promise<string>): Promise<ReadonlyMap<string, number>> {
  const seen = new Map<string, number>()
  let usualMs = (await runAndKill()).tookMs
  await look()
  for (let kills = 0; kills < KILLS;) {
    const { tookMs, killed } = await runAndKill(randomMoment() * usualMs * LATEST_KILL)
    // A run that was quicker than its kill says how long one takes by now.
    if (killed) kills += 1
    else usualMs = (usualMs + tookMs) / 2
    const outcome = `${killed ? 'killed' : 'ended'}: ${await look()}`
    seen.set(outcome, (seen.get(outcome) ?? 0) + 1)
  }
  process.stdout.write(`bootstrap-init, ${KILLS} kills: ${JSON.stringify(Object.fromEntries(seen))}\n`)
  return seen
}

describe('bootstrap-init, killed at any moment', () => {
  it('leaves a new node with a store that opens through the TPM, or with none at all', async () => {
    const seen = await killAtRandom(async () => {
      const names = existsSync(node.storePath) ? await readdir(node.storePath) : undefined
      if (names?.includes('keyring') === true) {
        await expectOpens(node)
        await rm(node.storePath, { recursive: true })
        return 'opens'
      }
      for (const name of names ?? []) expect(name).toMatch(/^(writer\.lock|keyring\.first\.[0-9a-f]{16}\.tmp)$/)
      expectRefusal(await node.bootstrap(NO_SEAL_KEY), 'BOOTSTRAP_KEY_MISSING', 3)
      // Whatever was left behind, the next run goes well and clears it away.
      expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'created', seals: [opens] })
      expect((await readdir(node.storePath)).sort()).toEqual(['keyring', 'writer.lock'])
      await rm(node.storePath, { recursive: true })
      return names === undefined || names.length === 0 ? 'nothing' : 'traces of a first write'
    })
    expect(seen.get('killed: nothing')).toBeGreaterThan(0)
  })

  it('leaves a node whose TPM was replaced with the old keyring or with the new one, which opens', async () => {
    answerOf(await node.bootstrap(sealKeyPath))
    const original = folder.join('original')
    await cp(node.storePath, original, { recursive: true })
    const oldKeyring = await readFile(join(original, 'keyring'))
    await node.tpm.replace()
    const seen = await killAtRandom(async () => {
      const isOld = (await readFile(join(node.storePath, 'keyring'))).equals(oldKeyring)
      if (isOld) {
        expect(answerOf(await node.bootstrap(NO_SEAL_KEY))).toMatchObject({
          result: 'unchanged',
          seals: [{ name: 'tpm', state: 'fails', code: 'TPM_REPLACED' }],
        })
        expect(answerOf(await node.bootstrap(sealKeyPath))).toMatchObject({ result: 'extended', seals: [opens] })
      } else {
        await expectOpens(node)
      }
      expect((await readFile(join(node.storePath, 'keyring.previous'))).equals(oldKeyring)).toBe(true)
      await rm(node.storePath, { recursive: true })
      await cp(original, node.storePath, { recursive: true })
      return isOld ? 'old' : 'new'
    })
    expect(seen.get('killed: old')).toBeGreaterThan(0)
  })
})
