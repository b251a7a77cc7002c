import { type TemporaryFolder, findProcesses, temporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type SelfSignedCertificate } from './self-signed-certificate.ts'
import { type ServedFolder, servedFolder } from './testing/served-folder.ts'
import { CONNECTOR_PATH, SHELLS, installConnector } from './testing/shells.ts'
import { configured, makeHostCertificate, pemOfHandshake } from './testing/test-host.ts'

/** go-plugin's magic cookie of OpenBao's KMS plugins. */
const COOKIE = { OPENBAO_KMS_PLUGIN: '39704a18-7da7-4bda-9a2d-f7c488d70328' }
const WAIT = { timeoutMs: 20_000, intervalMs: 5 }

describe.each(SHELLS)('the connector in $name', shell => {
  let around: TemporaryFolder
  let folder: ServedFolder
  let path: string
  let client: SelfSignedCertificate

  beforeAll(async () => {
    client = await makeHostCertificate()
  })

  beforeEach(async () => {
    around = await temporaryFolder()
    folder = servedFolder(around)
    path = around.join('connector')
    installConnector(path, shell)
  })

  afterEach(async () => {
    for (const { pid } of ours()) process.kill(pid, 'SIGKILL')
    await folder.close()
  })

  /** Every process that was started with a path inside our folder: connectors and their children. */
  function ours() {
    return findProcesses(each => each.commandLine.some(argument => argument.includes(around.path)))
  }

  function start(args: readonly string[] = [folder.directory], environment: NodeJS.ProcessEnv = {}): ChildProcess {
    const env = { ...COOKIE, PLUGIN_CLIENT_CERT: client.certificatePem, ...environment }
    return spawn(path, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  }

  async function firstLine(connector: ChildProcess): Promise<string> {
    let seen = ''
    connector.stdout?.on('data', (piece: Buffer) => (seen += piece.toString()))
    return await waitUntil(() => /^.*\n/.exec(seen)?.[0].trimEnd(), { what: 'a handshake line', ...WAIT })
  }

  async function ended(connector: ChildProcess): Promise<{ code: number | null; errors: string }> {
    const errors = connector.stderr ? text(connector.stderr) : ''
    const closed = once(connector, 'close')
    await closed
    return { code: connector.exitCode, errors: await errors }
  }

  it('prints the handshake line of an agent, whose socket answers', async () => {
    await folder.serve()
    const [, , network, socketPath = '', protocol, certificate = ''] = (await firstLine(start())).split('|')
    expect([network, protocol]).toEqual(['unix', 'grpc'])
    const host = folder.connect({ socketPath, certificatePem: pemOfHandshake(certificate), client })
    expect(await configured(host)).not.toBe('')
  })

  it('sends its request whole, also when many write at once', async () => {
    await (await folder.serve()).close()
    // We are the reader, and read nothing before all have written.
    const pipe = await open(join(folder.directory, 'in'), constants.O_RDWR | constants.O_NONBLOCK)
    const connectors = Array.from({ length: 12 }, () => start())
    const asking = () => ours().filter(each => each.commandLine.includes(path)).length
    await waitUntil(() => asking() >= 12, { what: 'all connectors', ...WAIT })
    const bytes = Buffer.alloc(65_536)
    let filled = 0
    const lines = await waitUntil(
      async () => {
        const { bytesRead } = await pipe.read(bytes, filled).catch(() => ({ bytesRead: 0 }))
        filled += bytesRead
        const found = bytes.toString('latin1', 0, filled).split('\n').slice(0, -1)
        return found.length >= 12 && found
      },
      { what: 'twelve requests', ...WAIT },
    )
    const body = client.certificateDer.toString('base64')
    for (const line of lines) {
      expect(line).toMatch(/^sealwright-connector-1 [0-9a-f-]{36} /)
      expect(line.slice(-body.length)).toBe(body)
    }
    for (const connector of connectors) connector.kill('SIGKILL')
    await pipe.close()
  })

  it('gives each of twelve at once its own line', async () => {
    await folder.serve()
    const lines = await Promise.all(Array.from({ length: 12 }, () => firstLine(start())))
    expect(new Set(lines).size).toBe(12)
  })

  it('waits for an agent that comes later', async () => {
    const connector = start()
    await waitUntil(() => ours().length > 0, { what: 'the connector', ...WAIT })
    await folder.serve()
    expect(await firstLine(connector)).toMatch(/^1\|1\|unix\|/)
  })

  it('asks again when an agent ended after it took the request', async () => {
    const first = await folder.serve()
    await first.close()
    const connector = start()
    // The request pipe is there and nobody reads it: the child of the connector waits in open().
    await waitUntil(() => ours().filter(each => each.commandLine.includes(path)).length === 2, {
      what: 'the asking child',
      ...WAIT,
    })
    execFileSync('dd', [`if=${folder.directory}/in`, 'of=/dev/null', 'count=1', 'status=none'])
    await folder.serve()
    expect(await firstLine(connector)).toMatch(/^1\|1\|unix\|/)
  })

  it('ends with its session, and at once', async () => {
    const server = await folder.serve()
    const connector = start()
    await firstLine(connector)
    const [, { code, errors }] = await Promise.all([server.close(), ended(connector)])
    expect({ code, errors }).toEqual({ code: 0, errors: '' })
    expect(ours()).toEqual([])
  })

  it('ends with its OpenBao while it waits for an agent, and leaves no child', async () => {
    await (await folder.serve()).close()
    const program = `require('node:child_process').spawn(process.argv[1], [process.argv[2]], { stdio: 'ignore' })`
    const parent = spawn(process.execPath, ['-e', program, path, folder.directory], {
      env: { ...COOKIE, PLUGIN_CLIENT_CERT: client.certificatePem },
      stdio: 'ignore',
    })
    const connectors = () => ours().filter(each => each.pid !== parent.pid)
    await waitUntil(() => connectors().length >= 2, { what: 'connector and its child', ...WAIT })
    parent.kill('SIGKILL')
    await waitUntil(() => connectors().length === 0, { what: 'their end', ...WAIT })
  })

  it('ends when nobody answers in time, says so, and leaves nothing that holds its output', async () => {
    await (await folder.serve()).close()
    const { code, errors } = await ended(start([folder.directory, '1']))
    expect(code).toBe(1)
    expect(errors).toMatch(/^\[ERROR\] sealwright connector: no answer from the seal agent in .* after 1 s/)
    await waitUntil(() => ours().length === 0, { what: 'no child', ...WAIT })
  })

  it('is not ended by the signals of a service manager or a terminal', async () => {
    const server = await folder.serve()
    const connector = start()
    await firstLine(connector)
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) connector.kill(signal)
    await firstLineOfAnother()
    expect(connector.exitCode).toBeNull()
    expect(connector.signalCode).toBeNull()
    await Promise.all([server.close(), ended(connector)])

    /** Time for a signal to work: as long as a whole other hand-over. */
    async function firstLineOfAnother(): Promise<void> {
      await firstLine(start())
    }
  })

  it.each([
    ['outside OpenBao', { OPENBAO_KMS_PLUGIN: '' }, ['/tmp'], 'only OpenBao can start this'],
    ['without a client certificate', { PLUGIN_CLIENT_CERT: '' }, ['/tmp'], 'only OpenBao can start this'],
    ['without a folder', {}, [], "must be the agent's folder"],
    ['with a relative folder', {}, ['seal'], "must be the agent's folder"],
    ['with a wait that is no number', {}, ['/tmp', 'soon'], 'must be whole seconds'],
  ])('refuses to run %s', async (_name, environment, args, message) => {
    const { code, errors } = await ended(start(args, environment))
    expect(code).toBe(1)
    expect(errors).toContain(message)
    expect(errors).toMatch(/^\[ERROR\] sealwright connector: /)
  })
})

describe('the connector', () => {
  it('passes shellcheck', () => {
    expect(execFileSync('shellcheck', ['-s', 'sh', CONNECTOR_PATH]).toString()).toBe('')
  })
})
