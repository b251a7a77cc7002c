import { type SealedNode } from '@sealwright/testing-cluster'
import { waitForAgentLine } from './node-log.ts'
import { createTestHsm, type TestHsm } from './parallel-hsm.ts'
import { OFTEN } from './parallel-node.ts'
import { expectOpenedBy, waitForHealth, waitForMembers } from './parallel-status.ts'
import { startTestTransit, type TestTransit } from './parallel-transit.ts'
import { killAgent } from './node-life.ts'
import { newNode } from './served-node.ts'
import { sharedScope } from './test-scope.ts'
import { proxyTpm, type TpmProxy } from './tpm-proxy.ts'

const scope = sharedScope()
/** Of each seal. */
const DEADLINE_MS = 2_000
/** What a busy machine may need beside. */
const SLACK_MS = 1_500

let node: SealedNode
let proxy: TpmProxy
let hsm: TestHsm
let transit: TestTransit

beforeAll(async () => {
  proxy = await proxyTpm(scope)
  const config = { agent: OFTEN, tpmSocketPath: proxy.socketPath }
  const made = await newNode(scope, config)
  node = made.node
  ;[hsm, transit] = await Promise.all([createTestHsm(scope), startTestTransit(scope)])
  await writePriorities({ tpm: 1, hsm: 2, backup: 3 })
  expect(await node.bootstrap(made.sealKeyPath)).toMatchObject({ exitCode: 0, stderr: '' })
  await node.startAgent()
  await waitForMembers(node, 'tpm', 'hsm', 'backup')
  await killAgent(node)
})

async function writePriorities(priorities: Readonly<Record<'tpm' | 'hsm' | 'backup', number>>): Promise<void> {
  const deadlineMs = DEADLINE_MS
  await node.writeConfig({
    ...{ agent: OFTEN, tpmSocketPath: proxy.socketPath, seal: { priority: priorities.tpm, deadlineMs } },
    moreSeals: [
      hsm.seal({ priority: priorities.hsm, deadlineMs }),
      transit.seal({ priority: priorities.backup, deadlineMs }),
    ],
  })
}

/** A seal that takes what it is asked and never answers, and how that ends. */
interface Hanging {
  readonly name: 'tpm' | 'hsm' | 'backup'
  readonly code: string
  hang(): Promise<void> | void
  recover(): Promise<void> | void
}

const HANGING: readonly Hanging[] = [
  {
    ...{ name: 'tpm', code: 'TPM_TIMEOUT' },
    hang: () => {
      proxy.setFate(() => ({ kind: 'swallow' }))
    },
    recover: () => {
      proxy.letPass()
    },
  },
  {
    ...{ name: 'hsm', code: 'PKCS11_TIMEOUT' },
    hang: () => hsm.order('hang C_OpenSession'),
    recover: () => hsm.order(),
  },
  {
    ...{ name: 'backup', code: 'TRANSIT_TIMEOUT' },
    hang: () => {
      transit.server.kill('SIGSTOP')
    },
    recover: () => {
      transit.server.kill('SIGCONT')
    },
  },
]

describe('the seal of the best priority that hangs', () => {
  it.each(HANGING)(
    '($name) is given up at its deadline; the next one opens; it is healthy again once it answers',
    async seal => {
      const { name, code } = seal
      const next = name === 'tpm' ? 'hsm' : 'tpm'
      await writePriorities({ tpm: 3, hsm: 4, backup: 5, ...{ [name]: 1 }, ...{ [next]: 2 } })
      await seal.hang()
      try {
        await node.startAgent()
        const failed = await waitForAgentLine(node, { msg: 'seal failed', seal: name })
        expect(failed).toMatchObject({ code })
        const opened = await waitForAgentLine(node, { msg: 'keyring opened' })
        expect(opened).toMatchObject({ seal: next })
        expect(opened.sinceProcessStartMs).toBeGreaterThanOrEqual(DEADLINE_MS)
        expect(opened.sinceProcessStartMs).toBeLessThan(DEADLINE_MS + SLACK_MS)
        await expectOpenedBy(node, next)
      } finally {
        await seal.recover()
      }
      await waitForHealth(node, name, 'healthy')
      await killAgent(node)
    },
  )
})
