import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { waitUntil } from '@sealwright/testing-rig'
import { expectSealWorks } from './node-health.ts'
import { boot, cutPower, hangUp } from './node-life.ts'
import { waitForAgentLine } from './node-log.ts'
import { createTestHsm, type TestHsm } from './parallel-hsm.ts'
import { OFTEN } from './parallel-node.ts'
import {
  expectOpenedBy,
  expectServes,
  knownStatus,
  listedSeals,
  waitForHealth,
  waitForMembers,
} from './parallel-status.ts'
import { type OpenedNode, openNode } from './served-node.ts'
import { sharedScope } from './test-scope.ts'

const scope = sharedScope()
const TIMEOUT_MS = 30_000

let opened: OpenedNode
let hsm: TestHsm

beforeAll(async () => {
  opened = await openNode(scope, { agent: OFTEN })
  hsm = await createTestHsm(scope)
})

function pids() {
  const { node } = opened
  return { agent: node.agent().pid, openBao: node.openBao().pid() }
}

async function sealNames(): Promise<readonly string[]> {
  return (await knownStatus(opened.node)).seals.map(({ name }) => name)
}

describe('a SIGHUP to the agent', () => {
  it.each([
    ['is no YAML', 'seals: [', 'CONFIG_SYNTAX'],
    ['has an unknown field', '{"seals":[{"name":"tpm","type":"tpm","priority":1,"pirority":2}]}', 'CONFIG_INVALID'],
    [
      'names a seal twice',
      '{"seals":[{"name":"a","type":"tpm","priority":1},{"name":"a","type":"tpm","priority":2}]}',
      'CONFIG_INVALID',
    ],
  ])('changes nothing where node.yaml %s, and says so', async (_what, text, code) => {
    const { node, rootToken } = opened
    const [before, wasRunning] = [await readFile(node.configPath), pids()]
    const audited = join(node.directory, 'audit')
    await writeFile(node.configPath, text)
    await hangUp(node)
    const line = await waitForAgentLine(node, { msg: 'configuration not read: going on with the one before', code })
    expect(line).toMatchObject({ level: 'error' })
    await writeFile(node.configPath, before)
    expect(await sealNames()).toEqual(['tpm'])
    await waitForHealth(node, 'tpm', 'healthy')
    await expectServes(node)
    await expectSealWorks(node, rootToken)
    expect(pids()).toEqual(wasRunning)
    await waitUntil(async () => (await auditText(audited)).includes(code), {
      what: `${code} in the audit log`,
      timeoutMs: TIMEOUT_MS,
    })
  })

  it('adds a seal online: OpenBao stays connected, nothing is started anew, and the new seal opens alone', async () => {
    const { node, config, rootToken } = opened
    const [wasRunning, { sessions }] = [pids(), await knownStatus(node)]
    expect(sessions).toBe(1)
    await node.writeConfig({ ...config, moreSeals: [hsm.seal()] })
    await hangUp(node)
    await waitForMembers(node, 'tpm', 'hsm')
    await waitForHealth(node, 'hsm', 'healthy')
    expect(pids()).toEqual(wasRunning)
    await expectServes(node)
    await expectSealWorks(node, rootToken)

    await cutPower(node)
    await node.tpm.kill()
    await boot(node)
    await expectServes(node)
    await expectOpenedBy(node, 'hsm')
    expect((await listedSeals(node)).map(({ name }) => name)).toEqual(['tpm', 'hsm'])
  })
})

async function auditText(directory: string): Promise<string> {
  const names = (await readdir(directory)).filter(name => name.endsWith('.jsonl'))
  return (await Promise.all(names.map(name => readFile(join(directory, name), 'utf8')))).join('')
}
