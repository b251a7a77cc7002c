import { readFile } from 'node:fs/promises'
import { waitUntil } from '@sealwright/testing-rig'
import { boot, cutPower, hangUp } from './node-life.ts'
import { type Cards, foreignCard, makeShares, wrongCard } from './parallel-cards.ts'
import { OFTEN } from './parallel-node.ts'
import { expectOpenedBy, expectServes, knownStatus, waitForHealth } from './parallel-status.ts'
import { pipeToSealctl } from './parallel-sealctl.ts'
import { bootstrapNode, INITIALISE, type ServedNode } from './served-node.ts'
import { sharedScope } from './test-scope.ts'

const scope = sharedScope()
const SEAL = 'emergency'
const SHAMIR = { name: SEAL, type: 'shamir', priority: 100 }
const SHARES = { shares: 3, threshold: 2 }
const NOT_READY = 2
const REFUSED = 4
/** What an operator who has entered the last share may have to wait. */
const OPEN_LIMIT_MS = 10_000
/** OpenBao looks every 5 s while it opens by itself: it had its chance. */
const LONG_ENOUGH_MS = 6_000
const TIMEOUT_MS = 30_000

let served: ServedNode
let rootToken: string
let recoveryKey: string
let board: Cards
let crew: Cards

beforeAll(async () => {
  served = await bootstrapNode(scope, { agent: OFTEN, moreSeals: [SHAMIR] })
  const { node, ports } = served
  await node.startAgent()
  const bao = await node.startOpenBao(ports)
  const { body } = await bao.request(INITIALISE)
  const made = body as { readonly root_token: string; readonly recovery_keys_base64: readonly [string] }
  rootToken = made.root_token
  recoveryKey = made.recovery_keys_base64[0]
  await bao.waitFor('active')
  board = await makeShares(node, { seal: SEAL, label: 'board', folder: scope.folder.join('board'), ...SHARES })
  crew = await makeShares(node, { seal: SEAL, label: 'crew', folder: scope.folder.join('crew'), ...SHARES })
})

/** Enters shares by their files. */
const enter = (...cards: readonly (string | undefined)[]) =>
  served.node.sealctl('unseal', ...cards.flatMap(card => (card === undefined ? [] : ['--share-file', card])))

const rehearse = (...cards: readonly (string | undefined)[]) =>
  served.node.sealctl('rehearse', ...cards.flatMap(card => (card === undefined ? [] : ['--share-file', card])))

async function expectStillSealed(): Promise<void> {
  expect(await knownStatus(served.node)).toMatchObject({ state: 'sealed', openbao: { state: 'sealed' } })
}

describe('shares, while no other seal opens,', () => {
  beforeAll(async () => {
    const { node } = served
    await cutPower(node)
    await node.tpm.kill()
    await boot(node)
    await waitForHealth(node, 'tpm', { code: 'TPM_UNREACHABLE' })
  })

  it('are rehearsed, and nothing is opened', async () => {
    expect(await rehearse(board[0], board[2])).toMatchObject({ exitCode: 0 })
    expect(await rehearse(board[0])).toMatchObject({ exitCode: NOT_READY })
    const { exitCode, stdout } = await rehearse(board[1], await wrongCard(board[0] ?? ''))
    expect(exitCode).toBe(NOT_READY)
    expect(stdout).toContain('share 2 is right')
    expect(stdout).toContain('share 1 is WRONG')
    await expectStillSealed()
  })

  it('are refused by name where they are wrong, repeated or of another cluster; those that are in stay in', async () => {
    expect(await enter(board[0])).toMatchObject({ exitCode: NOT_READY, stderr: 'share 1 is in: 1 of 2 shares\n' })
    const refusals = [
      [await wrongCard(board[1] ?? ''), 'SHAMIR_SHARE_WRONG', 'share 2'],
      [board[0], 'SHAMIR_SHARE_REPEATED', 'share 1'],
      [await foreignCard(scope.folder.join('foreign')), 'SHAMIR_OTHER_CLUSTER', 'cluster'],
    ] as const
    for (const [card, code, words] of refusals) {
      const { exitCode, stderr } = await enter(card)
      expect({ exitCode, stderr }).toEqual({
        exitCode: REFUSED,
        stderr: expect.stringContaining(`${code}: `) as string,
      })
      expect(stderr).toContain(words)
    }
    const { stdout } = await pipeToSealctl(served.node, await readFile(board[0] ?? '', 'utf8'), 'rehearse', '--json')
    expect(JSON.parse(stdout)).toMatchObject({ quorum: false })
    await expectStillSealed()
  })

  it('of two sets do not add up; each set is collected by itself', async () => {
    const { exitCode, stdout } = await enter(crew[1])
    expect(exitCode).toBe(NOT_READY)
    expect(stdout).toContain('1 of 2 shares for the seal emergency, set crew: 1 more is needed')
    const status = await served.node.sealctl('seals', 'status', SEAL)
    expect(status).toMatchObject({ exitCode: 0, stderr: '' })
    expect(status.stdout).toMatch(/^shares +board: 2 of 3 shares open it, in: 1 of 2 \(1\)$/m)
    expect(status.stdout).toMatch(/^shares +crew: 2 of 3 shares open it, in: 1 of 2 \(2\)$/m)
    await expectStillSealed()
  })

  it('are forgotten by a reset, and enough of them from a pipe open the node; OpenBao opens by itself within 10 s', async () => {
    const { node } = served
    expect(await node.sealctl('unseal', '--reset')).toMatchObject({ exitCode: 0 })
    const first = await pipeToSealctl(node, await readFile(board[0] ?? '', 'utf8'), 'unseal')
    expect(first).toMatchObject({ exitCode: NOT_READY, stderr: 'share 1 is in: 1 of 2 shares\n' })

    const last = await pipeToSealctl(node, await readFile(board[2] ?? '', 'utf8'), 'unseal', '-seal=emergency')
    expect(last).toMatchObject({ exitCode: 0, stdout: 'this node is open, by the seal emergency, set board\n' })
    await node.openBao().waitFor('active', { timeoutMs: OPEN_LIMIT_MS })
    await expectServes(node)
    await expectOpenedBy(node, SEAL)

    // The others are still looked after.
    await node.tpm.start()
    await waitForHealth(node, 'tpm', 'healthy')
  })
})

describe('an OpenBao that its operator has sealed', () => {
  it('is left sealed, whatever opens here, until recovery keys are given or it is started anew', async () => {
    const { node } = served
    const bao = node.openBao()
    const seal = { method: 'PUT', path: 'sys/seal', token: rootToken } as const
    expect(await bao.request(seal)).toMatchObject({ status: 204 })
    const sealedAtMs = Date.now()
    await hangUp(node)
    expect(await enter(board[0], board[1])).toMatchObject({ exitCode: 0 })
    await waitUntil(
      async () => {
        const { unwrappedAt = '' } = await waitForHealth(node, 'tpm', 'healthy')
        return Date.parse(unwrappedAt) > sealedAtMs + LONG_ENOUGH_MS
      },
      { what: 'the TPM to have opened again and again', timeoutMs: TIMEOUT_MS },
    )
    expect(await bao.state()).toBe('sealed')
    expect(await knownStatus(node)).toMatchObject({ state: 'open', openbao: { state: 'sealed' } })

    const unsealed = await bao.request({ method: 'PUT', path: 'sys/unseal', body: { key: recoveryKey } })
    expect(unsealed).toMatchObject({ status: 200, body: { sealed: false } })
    await expectServes(node)

    expect(await bao.request(seal)).toMatchObject({ status: 204 })
    await bao.restart({ until: 'active' })
    await expectServes(node)
  })
})
