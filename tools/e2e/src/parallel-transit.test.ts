import { expectSealWorks } from './node-health.ts'
import { waitForAgentLine } from './node-log.ts'
import { openParallelNode, type ParallelNode } from './parallel-node.ts'
import { expectOpenedBy, expectServes, restartAgent, waitForHealth } from './parallel-status.ts'
import { removePolicy, type TestTransit, TRANSIT_KEY } from './parallel-transit.ts'
import { sharedScope } from './test-scope.ts'

const scope = sharedScope()
const SEAL = 'backup'
const KEY_PATH = `transit/keys/${TRANSIT_KEY}`

let parallel: ParallelNode
let transit: TestTransit

beforeAll(async () => {
  // The other OpenBao is what this node prefers.
  parallel = await openParallelNode(scope, { seal: { priority: 9 }, hsm: { priority: 2 }, transit: { priority: 1 } })
  ;({ transit } = parallel)
})

/** What happens at the other OpenBao, what the seal is then called, and how it is put right. */
interface Trouble {
  readonly what: string
  readonly code: string
  begin(): Promise<unknown>
  end(): Promise<unknown>
}

let keyBackup = ''

const TROUBLES: readonly Trouble[] = [
  {
    ...{ what: 'its token is revoked', code: 'TRANSIT_DENIED' },
    async begin() {
      const token = await transit.writeToken()
      await transit.administer({ method: 'POST', path: 'auth/token/revoke', body: { token } })
    },
    end: () => transit.writeToken(),
  },
  {
    ...{ what: 'its token has expired', code: 'TRANSIT_DENIED' },
    begin: () => transit.writeToken({ ttl: '1s', explicit_max_ttl: '1s' }),
    end: () => transit.writeToken(),
  },
  {
    ...{ what: 'the policy of its token is removed', code: 'TRANSIT_DENIED' },
    begin: () => removePolicy(transit),
    end: () => transit.writePolicy(),
  },
  {
    ...{ what: 'min_decryption_version is raised', code: 'TRANSIT_KEY_VERSION' },
    async begin() {
      await transit.administer({ method: 'POST', path: `${KEY_PATH}/rotate` })
      await transit.administer({ method: 'POST', path: `${KEY_PATH}/config`, body: { min_decryption_version: 2 } })
    },
    end: () => transit.administer({ method: 'POST', path: `${KEY_PATH}/config`, body: { min_decryption_version: 1 } }),
  },
  {
    ...{ what: 'its server is sealed', code: 'TRANSIT_SEALED' },
    begin: () => transit.administer({ method: 'PUT', path: 'sys/seal' }),
    end: () => transit.server.restart({ until: 'active' }),
  },
  {
    ...{ what: 'its certificate is of another authority', code: 'TRANSIT_CERTIFICATE_UNTRUSTED' },
    begin: () => transit.setTrusted(false),
    end: () => transit.setTrusted(true),
  },
  {
    ...{ what: 'its key is deleted', code: 'TRANSIT_KEY_MISSING' },
    async begin() {
      const body = { deletion_allowed: true, exportable: true, allow_plaintext_backup: true }
      await transit.administer({ method: 'POST', path: `${KEY_PATH}/config`, body })
      const made = await transit.administer({ path: `transit/backup/${TRANSIT_KEY}` })
      keyBackup = (made.body as { readonly data: { readonly backup: string } }).data.backup
      await transit.administer({ method: 'DELETE', path: KEY_PATH })
    },
    end: () =>
      transit.administer({ method: 'POST', path: `transit/restore/${TRANSIT_KEY}`, body: { backup: keyBackup } }),
  },
]

describe('a seal of another OpenBao, while the agent runs,', () => {
  it.each(TROUBLES)(
    'fails by $code once $what: the node stays open, and another seal opens it at the next start',
    async trouble => {
      const { node, rootToken } = parallel
      await waitForHealth(node, SEAL, 'healthy')
      await trouble.begin()
      await waitForHealth(node, SEAL, { code: trouble.code })
      await expectServes(node)
      await expectSealWorks(node, rootToken)
      const { exitCode, stdout } = await node.sealctl('status')
      expect(exitCode).toBe(3)
      expect(stdout).toContain(`seal ${SEAL} does not open: ${trouble.code}: `)

      await restartAgent(node)
      await waitForAgentLine(node, { msg: 'seal failed', seal: SEAL, code: trouble.code })
      await expectOpenedBy(node, 'hsm')
      await expectSealWorks(node, rootToken)
      await expectServes(node)

      await trouble.end()
      await waitForHealth(node, SEAL, 'healthy')
      expect(await node.sealctl('status')).toMatchObject({ exitCode: 0 })
    },
  )
})
