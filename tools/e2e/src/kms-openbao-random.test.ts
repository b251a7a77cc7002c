import { readFile } from 'node:fs/promises'
import { KMS_KEY, KMS_POLICY, startTransitOpenBao, type TransitOpenBao } from '@sealwright/testing-kms'
import { waitUntil } from '@sealwright/testing-rig'
import { loadPlugin, waitForLoad } from './kms-kit.ts'
import { type KmsSubject, startSubject } from './kms-subject.ts'
import { seededRandom } from './seeded-random.ts'
import { testScope } from './test-scope.ts'

const scope = testScope()

/** Ten times as many with SLOW=1. */
const ROUNDS = process.env.SLOW === '1' ? 100 : 10
const CALLERS = 16
/** Of the load: it lasts as long as the rounds, whatever these take. */
const LOAD_MS = ROUNDS * 2_500
const PERMITTED = ['OK', 'Unavailable', 'DeadlineExceeded']

let bao: TransitOpenBao
let subject: KmsSubject

const troubles: Readonly<Record<string, () => Promise<unknown>>> = {
  'a restart': async () => {
    await bao.node.restart({ until: 'active' })
  },
  'a kill': async () => {
    bao.node.kill()
    await bao.node.process().exited
    await bao.node.start({ until: 'active' })
  },
  'a moment frozen': async () => {
    bao.node.kill('SIGSTOP')
    // Until the plugin has noticed, or has had time for it.
    await Promise.all(Array.from({ length: 3 }, async () => await subject.decrypt()))
    bao.node.kill('SIGCONT')
  },
  'a moment sealed': async () => {
    await bao.administer({ method: 'PUT', path: 'sys/seal' })
    await bao.node.restart({ until: 'active' })
  },
  'another token': async () => {
    const token = await readFile(bao.tokenFile, 'utf8')
    await bao.writeToken()
    await bao.administer({ method: 'POST', path: 'auth/token/revoke', body: { token } })
  },
  'a policy that is cut for a moment': async () => {
    await bao.writePolicy('path "nowhere" { capabilities = ["read"] }')
    await subject.decrypt()
    await bao.writePolicy(KMS_POLICY)
  },
  'a restart of the plugin': async () => {
    expect(await subject.plugin.stop()).toEqual({ code: 0, signal: null })
    await subject.plugin.start()
  },
  'a kill of the plugin': async () => {
    subject.plugin.kill()
    await subject.plugin.process().exited
    await subject.plugin.start()
  },
}

it(
  'gets over troubles in any order under load: nothing is answered wrong, no code but those of an outage is heard, and all is well after each',
  async () => {
    bao = scope.use(await startTransitOpenBao({ directory: scope.folder.join('bao') }))
    subject = await startSubject(scope, {
      backend: bao.backend(),
      forbidden: [KMS_KEY, new URL(bao.node.apiAddress).host],
    })
    const load = loadPlugin({
      ...{ socketPath: subject.plugin.socketPath, operation: 'mixed', callers: CALLERS, durationMs: LOAD_MS },
    })
    await waitForLoad(subject.plugin)
    const random = seededRandom(0x6b6d73)
    for (let round = 0; round < ROUNDS; round += 1) {
      const name = random.pick(Object.keys(troubles))
      await troubles[name]?.()
      await waitUntil(async () => (await subject.decrypt()) === 'OK', {
        ...{ what: `round ${round} to be got over: ${name}`, timeoutMs: 60_000 },
        describe: () => subject.plugin.process().logTail(),
      })
      await subject.waitUntilWell()
      expect(await subject.encrypt()).toBe('OK')
    }
    const { operations } = await load
    for (const { operation, codes } of operations) {
      const permitted = operation === 'bad-decrypt' ? [...PERMITTED.slice(1), 'InvalidArgument'] : PERMITTED
      expect([operation, Object.keys(codes).filter(code => !permitted.includes(code))]).toEqual([operation, []])
    }
    // Bugs, and only bugs, are logged at this level here.
    expect(await readFile(subject.plugin.process().logPath, 'utf8')).not.toMatch(/"level":"(error|fatal)"/)
  },
  LOAD_MS + 600_000,
)
