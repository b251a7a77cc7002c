import { join } from 'node:path'
import { agentLock } from '@sealwright/node-seals'
import { pino } from 'pino'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { agentReporter } from '../report/log.ts'
import { agentMetrics } from '../report/metrics.ts'
import { type Custody, keyringCustody } from './custody.ts'

const { signal } = new AbortController()
let folder: TemporaryFolder

beforeEach(async () => {
  folder = await temporaryFolder()
})

afterEach(async () => {
  await folder.remove()
})

function custody(): Custody {
  const storePath = join(folder.path, 'seal')
  const log = pino({ level: 'silent' })
  return keyringCustody({
    ...{ storePath, log, signal, clusterId: () => undefined },
    onChanged: () => undefined,
    lock: agentLock(storePath),
    seals: () => [],
    metrics: agentMetrics(Date.now),
    report: agentReporter(log, Date.now),
  })
}

describe('a change of the keyring', () => {
  it('is refused before a seal has opened', async () => {
    await expect(custody().change(unlocked => unlocked, signal)).rejects.toMatchObject({ code: 'CUSTODY_SEALED' })
  })
})
