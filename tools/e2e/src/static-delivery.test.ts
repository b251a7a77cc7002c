import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openBaoPath, requestOpenBao, startOpenBao, startProcess, waitUntil } from '@sealwright/testing-rig'
import { expectBootstraps } from './bootstrap-run.ts'
import { killAgent } from './node-life.ts'
import { waitForAgentLine } from './node-log.ts'
import { INITIALISE, newNodeWithOpenBao } from './served-node.ts'
import { testScope } from './test-scope.ts'

const scope = testScope()
const WAIT_MS = 30_000

describe('an OpenBao without plugins', () => {
  it('gets its static key from the agent at each start, once a seal has opened', async () => {
    const directory = join(scope.folder.path, 'keys')
    const served = await newNodeWithOpenBao(scope)
    const { node, ports, sealKeyPath } = served
    const { keyId } = await expectBootstraps(node, sealKeyPath, 'created')
    await node.writeConfig({ ...served.config, agent: { staticDelivery: { directory, current: keyId } } })
    await node.startAgent()
    await waitForAgentLine(node, { msg: 'agent serves' })

    await using bao = await startOpenBao({
      ...{ directory: join(scope.folder.path, 'static'), nodeId: 'solo', ...ports },
      seal: { kind: 'static', keyFile: join(directory, 'current.fifo'), keyId },
    })
    expect(await bao.request(INITIALISE)).toMatchObject({ status: 200 })
    await bao.waitFor('active')
    await waitForAgentLine(node, { msg: 'seal key delivered', keyId })

    // The agent and its TPM come later than OpenBao, which waits at the pipe.
    bao.kill()
    await bao.process().exited
    await killAgent(node)
    const starting = bao.start({ until: 'active' })
    await node.startAgent()
    await starting
    await waitForAgentLine(node, { msg: 'seal key delivered', keyId })
  })
  it('that takes its key from the environment finds it in a plain file, which is there for as long as it is not unsealed', async () => {
    const memory = await mkdtemp('/dev/shm/sw-')
    scope.afterwards(() => rm(memory, { recursive: true }))
    const directory = join(memory, 'keys')
    const served = await newNodeWithOpenBao(scope)
    const { node, sealKeyPath, ports } = served
    const { keyId } = await expectBootstraps(node, sealKeyPath, 'created')
    const staticDelivery = { directory, current: keyId, unsafePlainKeyFile: true }
    await node.writeConfig({ ...served.config, agent: { staticDelivery } })
    await node.startAgent()
    await waitForAgentLine(node, { msg: 'UNSAFE: the seal key lies in a plain file', keyId })

    const configPath = join(scope.folder.path, 'plain.hcl')
    const listener = `listener "tcp" {\n  address = "127.0.0.1:${ports.apiPort}"\n  tls_disable = true\n}\n`
    await writeFile(configPath, `storage "inmem" {}\nseal "static" {}\n${listener}`)
    const keyFile = join(directory, 'openbao.env')
    const server = await startProcess({
      name: 'plain',
      command: 'sh',
      args: ['-c', 'set -a; . "$1"; set +a; exec "$2" server "-config=$3"', 'sh', keyFile, openBaoPath(), configPath],
      logDirectory: scope.folder.path,
      environment: { HOME: scope.folder.path },
    })
    try {
      await server.waitFor(() => server.logTail().includes('OpenBao server started!'), {
        what: 'OpenBao',
        timeoutMs: WAIT_MS,
      })
      expect(existsSync(keyFile)).toBe(true)
      const address = { apiAddress: `http://127.0.0.1:${ports.apiPort}`, caPath: undefined }
      expect(await requestOpenBao(address, INITIALISE)).toMatchObject({ status: 200 })
      await waitUntil(() => !existsSync(keyFile), { what: 'the file to be gone', timeoutMs: WAIT_MS })
    } finally {
      await server.stop()
    }
    await waitUntil(() => existsSync(keyFile), { what: 'the file to be there again', timeoutMs: WAIT_MS })
    await node.agent().stop()
    expect(existsSync(keyFile)).toBe(false)
  })
})
