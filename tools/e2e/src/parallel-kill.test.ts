import { cp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ProgramResult, runProgramToEnd, type SealedNode } from '@sealwright/testing-cluster'
import { waitUntil } from '@sealwright/testing-rig'
import { askControl } from './control-request.ts'
import { expectSealWorks } from './node-health.ts'
import { boot, cutPower } from './node-life.ts'
import { OFTEN } from './parallel-node.ts'
import { expectOpenedBy, expectServes, knownStatus, restartAgent } from './parallel-status.ts'
import { type OpenedNode, openNode } from './served-node.ts'
import { sharedScope } from './test-scope.ts'

const scope = sharedScope()
const ROTATE = '/v1/sys/rotate/seal-key'
const KILLS = 100
/** After so many kills OpenBao is killed as well, and has to open anew. */
const KILLS_PER_POWER_CUT = 10
/** The latest kill, in times of how long one rotation takes: some rotations shall get through. */
const LATEST_KILL = 1.2
const NOT_READY = 2

let opened: OpenedNode

beforeAll(async () => {
  opened = await openNode(scope, { agent: OFTEN })
})

describe('a rotation of the seal key', () => {
  it('is interrupted by SIGKILL of the agent 100 times: keyring and OpenBao open every time', async () => {
    const { node, rootToken } = opened
    const usualMs = await rotationMs(node)
    let generation = 2
    let answered = 0
    let unsaid = 0
    for (let kill = 1; kill <= KILLS; kill += 1) {
      const asked = askControl(node, ROTATE, 'POST').then(
        ({ status }) => {
          expect(status).toBe(200)
          return 1
        },
        () => 0,
      )
      await afterMs(Math.random() * usualMs * LATEST_KILL)
      if (kill % KILLS_PER_POWER_CUT === 0) {
        await cutPower(node)
        await boot(node)
      } else {
        await restartAgent(node)
      }
      const said = await asked
      await expectOpenedBy(node, 'tpm')
      const found = (await knownStatus(node)).keyring?.generation ?? 0
      // Whoever was told of a new generation finds it; a kill may have come before anybody could be told.
      expect([generation + said, generation + 1]).toContain(found)
      answered += said
      unsaid += found - generation - said
      generation = found
      await expectServes(node)
      await expectSealWorks(node, rootToken)
    }
    process.stdout.write(
      `rotation, ${KILLS} kills: ${generation - 2} done, ${answered} of them told, ${unsaid} killed before it could be told\n`,
    )
    expect(generation).toBeGreaterThan(2)
    expect(generation).toBeLessThan(KILLS)
  })
})

describe('the audit log of all that', () => {
  it('is intact', async () => {
    const { exitCode, stdout } = await verify(auditDirectory())
    expect({ exitCode, stdout }).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^intact/) as string })
  })

  it('is vouched for under the seal key, which a seal of the node gives from its store', async () => {
    const { configPath } = opened.node
    const { exitCode, stdout } = await runProgramToEnd('sealctl', [
      ...['audit', 'verify', '--checkpoints', '--config', configPath],
    ])
    expect({ exitCode, stdout }).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/^checkpoints {2}\d+ genuine: .* line 1 to \d+$/m) as string,
    })
  })

  it('has what was called and what came of it', async () => {
    const names = (await readdir(auditDirectory())).filter(name => name.endsWith('.jsonl'))
    const segments = await Promise.all(names.map(name => readFile(join(auditDirectory(), name), 'utf8')))
    const detail = `{"method":"POST","path":"${ROTATE}","status":200}`
    expect(segments.join('')).toContain(`"kind":"control-called","detail":${detail}`)
    for (const kind of ['generation-activated', 'keyring-stored'])
      expect(segments.join('')).toContain(`"kind":"${kind}"`)
  })

  it.each<[string, (lines: string[]) => readonly string[]]>([
    ['a changed byte', lines => lines.with(1, lines[1]?.replace(/\d/, digit => String(9 - Number(digit))) ?? '')],
    ['a removed line', lines => lines.toSpliced(lines.length >> 1, 1)],
    ['a swapped pair', lines => lines.toSpliced(3, 2, ...lines.slice(3, 5).reverse())],
  ])('is broken by %s', async (what, change) => {
    const copy = scope.folder.join(what.replaceAll(' ', '-'))
    await cp(auditDirectory(), copy, { recursive: true })
    const segment = join(copy, (await readdir(copy)).filter(name => name.endsWith('.jsonl')).sort()[0] ?? '')
    const lines = (await readFile(segment, 'utf8')).split('\n').slice(0, -1)
    await writeFile(
      segment,
      change(lines)
        .map(line => `${line}\n`)
        .join(''),
    )
    const { exitCode, stdout } = await verify(copy)
    expect({ exitCode, stdout }).toMatchObject({
      exitCode: NOT_READY,
      stdout: expect.stringMatching(/^BROKEN: /) as string,
    })
  })
})

const auditDirectory = (): string => join(opened.node.directory, 'audit')

async function verify(directory: string): Promise<ProgramResult> {
  return await runProgramToEnd('sealctl', ['audit', 'verify', '--directory', directory])
}

/** How long the first rotation of an agent takes: it has to load what it answers with. */
async function rotationMs(node: SealedNode): Promise<number> {
  await restartAgent(node)
  await expectOpenedBy(node, 'tpm')
  const startedAtMs = performance.now()
  expect(await askControl(node, ROTATE, 'POST')).toMatchObject({ status: 200 })
  return performance.now() - startedAtMs
}

/** A moment that nothing can be waited for at: where the kill hits is up to chance. */
async function afterMs(delayMs: number): Promise<void> {
  const endsAtMs = performance.now() + delayMs
  await waitUntil(() => performance.now() >= endsAtMs, { what: 'a random moment', timeoutMs: 10_000, intervalMs: 1 })
}
