import { expectSealWorks } from './node-health.ts'
import { boot, cutPower } from './node-life.ts'
import { waitForOpenBaoLog } from './node-log.ts'
import { openParallelNode, type ParallelNode } from './parallel-node.ts'
import { expectOpenedBy, type ExpectedHealth, expectServes, waitForHealth } from './parallel-status.ts'
import { sharedScope } from './test-scope.ts'

const scope = sharedScope()
/** What each seal fails with while its device is away. */
const AWAY = { tpm: 'TPM_UNREACHABLE', hsm: 'PKCS11_TOKEN_NOT_FOUND', backup: 'TRANSIT_UNREACHABLE' } as const
type Device = keyof typeof AWAY
const DEVICES = Object.keys(AWAY) as readonly Device[]

let parallel: ParallelNode

beforeAll(async () => {
  parallel = await openParallelNode(scope)
})

beforeEach(async () => {
  await setPresent(...DEVICES)
})

/** These are there, the others are away. */
async function setPresent(...there: readonly Device[]): Promise<void> {
  const { node, hsm, transit } = parallel
  const isTpmUp = node.tpm.pid !== undefined
  if (there.includes('tpm') !== isTpmUp) await (isTpmUp ? node.tpm.kill() : node.tpm.start())
  await hsm.setPresent(there.includes('hsm'))
  await transit.setPresent(there.includes('backup'))
}

/** Waits until the agent has found out by itself which of them are there. */
async function expectNoticed(...there: readonly Device[]): Promise<void> {
  for (const device of DEVICES) {
    const expected: ExpectedHealth = there.includes(device) ? 'healthy' : { code: AWAY[device] }
    await waitForHealth(parallel.node, device, expected)
  }
}

describe('a node with three seals', () => {
  it.each<[string, readonly Device[], Device]>([
    ['by the token while the TPM is away', ['hsm', 'backup'], 'hsm'],
    ['by the other OpenBao while TPM and token are away', ['backup'], 'backup'],
    ['by the TPM while token and other OpenBao are away', ['tpm'], 'tpm'],
  ])('opens %s, and finds by itself that they are back', async (_name, there, opener) => {
    const { node, rootToken } = parallel
    await cutPower(node)
    await setPresent(...there)
    await boot(node)
    await expectServes(node)
    await expectOpenedBy(node, opener)
    await expectNoticed(...there)
    expect(await node.sealctl('status')).toMatchObject({ exitCode: there.length === DEVICES.length ? 0 : 3 })

    await setPresent(...DEVICES)
    await expectNoticed(...DEVICES)
    await expectServes(node)
    await expectSealWorks(node, rootToken)
  })

  it('stays open while its seals go away one after another, also the last, and notices each that comes back', async () => {
    const { node, rootToken } = parallel
    await expectNoticed(...DEVICES)
    const pids = { agent: node.agent().pid, openBao: node.openBao().pid() }
    for (const there of [['hsm', 'backup'], ['backup'], [], ['hsm'], ['hsm', 'tpm'], DEVICES] as Device[][]) {
      await setPresent(...there)
      await expectNoticed(...there)
      await expectServes(node)
      await expectSealWorks(node, rootToken)
    }
    expect({ agent: node.agent().pid, openBao: node.openBao().pid() }).toEqual(pids)
  })

  it.each<[Device]>([['backup'], ['hsm']])(
    'stays sealed with OpenBao up while all are away, names the code of each, and opens by itself once %s is back',
    async device => {
      const { node } = parallel
      await cutPower(node)
      await setPresent()
      await boot(node)
      const codes = DEVICES.map(name => `${name}: ${AWAY[name]}`).join(', ')
      await waitForOpenBaoLog(node, `no seal opens the keyring (${codes})`)
      await expectNoticed()
      await expect(node.openBao().request({ path: 'sys/health' })).resolves.toMatchObject({
        status: 503,
        body: { initialized: true, sealed: true },
      })
      const { exitCode, stdout } = await node.sealctl('status')
      expect(exitCode).toBe(2)
      for (const name of DEVICES) expect(stdout).toContain(`seal ${name} does not open: ${AWAY[name]}: `)

      await setPresent(device)
      await expectServes(node)
      await expectOpenedBy(node, device)
    },
  )
})
