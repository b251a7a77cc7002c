import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Secret } from '@sealwright/secret'
import {
  freePort,
  openBaoPath,
  type OpenBaoNode,
  type OpenBaoSeal,
  startOpenBao,
  startProcess,
  temporaryFolder,
  waitUntil,
} from '@sealwright/testing-rig'
import { type StaticDeliveryEvent } from './events.ts'
import { placeUnsafePlainKeyFile } from './plain-key-file.ts'
import { type Delivery, serveStaticDelivery, type StaticDeliveryOptions } from './serve.ts'

const KEYS: Readonly<Record<string, Buffer>> = {
  k1: Buffer.from('f1d2c3b4a5968778695a4b3c2d1e0f00112233445566778899aabbccddeeff01', 'hex'),
  k2: Buffer.from('02e1d2c3b4a5968778695a4b3c2d1e0f00112233445566778899aabbccddeeff', 'hex'),
}
const WAIT_MS = 20_000
const CURRENT = 'current.fifo'
const PREVIOUS = 'previous.fifo'

function unwrapKey(keyId: string): Promise<Secret | undefined> {
  const key = KEYS[keyId]
  return Promise.resolve(key === undefined ? undefined : new Secret(Uint8Array.from(key)))
}

/** One OpenBao with a static seal, and an agent that delivers its key. */
async function staticNode() {
  const folder = await temporaryFolder()
  const directory = folder.join('seal')
  const events: StaticDeliveryEvent[] = []
  const stops: (() => Promise<void>)[] = []
  let node: OpenBaoNode | undefined
  const startAgent = async (deliveries: readonly Delivery[], more: Partial<StaticDeliveryOptions> = {}) => {
    const stop = new AbortController()
    const { ended } = await serveStaticDelivery({
      directory,
      deliveries,
      untilOpen: () => Promise.resolve(),
      unwrapKey,
      onEvent: event => events.push(event),
      steadyNow: () => performance.now(),
      signal: stop.signal,
      ...more,
    })
    const end = async () => {
      stop.abort()
      await ended
    }
    stops.push(end)
    return end
  }
  const nodeFolder = folder.join('node')
  mkdirSync(nodeFolder)
  return {
    directory,
    nodeFolder,
    events,
    startAgent,
    /** Starts OpenBao; it waits at the pipe. */
    async startNode(seal: OpenBaoSeal) {
      const ports = { apiPort: await freePort(), clusterPort: await freePort() }
      node = await startOpenBao({ directory: nodeFolder, nodeId: 'static', ...ports, seal, until: 'nothing' })
      return node
    },
    said: (kind: StaticDeliveryEvent['kind'], times = 1) =>
      waitUntil(() => events.filter(event => event.kind === kind).length >= times, { what: kind, timeoutMs: WAIT_MS }),
    seal: (keyId: string, previousKeyId?: string): OpenBaoSeal => {
      const current = { kind: 'static', keyFile: join(directory, CURRENT), keyId } as const
      if (previousKeyId === undefined) return current
      return { ...current, previous: { keyFile: join(directory, PREVIOUS), keyId: previousKeyId } }
    },
    async [Symbol.asyncDispose]() {
      await node?.process().stop()
      for (const stop of stops) await stop()
      await folder.remove()
    },
  }
}

const current = (keyId: string): Delivery => ({ fileName: CURRENT, keyId })
const previous = (keyId: string): Delivery => ({ fileName: PREVIOUS, keyId })

/** Initialises OpenBao and writes something; returns how to read it again. */
async function initialise(node: OpenBaoNode) {
  await node.waitFor('uninitialised')
  const { body } = await node.request({
    ...{ method: 'PUT', path: 'sys/init' },
    body: { recovery_shares: 1, recovery_threshold: 1 },
  })
  const { root_token: token } = body as { readonly root_token: string }
  await node.waitFor('active')
  const write = async (path: string, data: unknown) => {
    const { status } = await node.request({ method: 'POST', path, body: data, token })
    expect([path, status]).toEqual([path, 204])
  }
  await write('sys/mounts/kv', { type: 'kv' })
  await write('kv/canary', { word: 'sings' })
  return {
    async expectReadable() {
      await node.waitFor('active')
      await expect(node.request({ path: 'kv/canary', token })).resolves.toMatchObject({
        status: 200,
        body: { data: { word: 'sings' } },
      })
    },
  }
}

/** Waits until OpenBao has got as far as its seal: it waits at a pipe then. */
async function waitsForKey(node: OpenBaoNode): Promise<void> {
  await node.process().waitFor(() => node.process().logTail().includes('proxy environment'), {
    what: 'OpenBao to come to its seal',
    timeoutMs: WAIT_MS,
  })
}

async function endOf(node: OpenBaoNode): Promise<string> {
  const { code, signal } = await node.process().exited
  expect([code, signal]).toEqual([1, null])
  return node.process().logTail()
}

describe('an OpenBao with a static seal on a pipe', () => {
  it('waits until a seal opens, and gets its key again after each kill -9, without a byte of it on a disk', async () => {
    await using lab = await staticNode()
    const opened = Promise.withResolvers<undefined>()
    await lab.startAgent([current('k1')], { untilOpen: () => opened.promise })
    const node = await lab.startNode(lab.seal('k1'))
    await waitsForKey(node)
    await expect(node.state()).resolves.toBe('unreachable')
    opened.resolve(undefined)
    const canary = await initialise(node)
    for (let round = 2; round <= 4; round += 1) {
      node.kill('SIGKILL')
      await node.process().exited
      await node.start()
      await canary.expectReadable()
      await lab.said('delivered', round)
    }
    expect(lab.events.filter(({ kind }) => kind === 'delivered')).toHaveLength(4)
    expectNowhere(KEYS.k1 ?? Buffer.alloc(0), [lab.nodeFolder, lab.directory], node.pid())
  })

  it('goes over to the next key by previous_key, with its data readable, and needs only that one then', async () => {
    await using lab = await staticNode()
    const stop = await lab.startAgent([current('k1')])
    const node = await lab.startNode(lab.seal('k1'))
    const canary = await initialise(node)
    await node.stop()
    await stop()
    const stopBoth = await lab.startAgent([current('k2'), previous('k1')])
    await node.start({ seal: lab.seal('k2', 'k1') })
    await canary.expectReadable()
    await node.process().waitFor(() => node.process().logTail(200).includes('upgrading stored keys'), {
      what: 'the stored keys under the new key',
      timeoutMs: WAIT_MS,
    })
    // OpenBao reads the previous key first.
    const order = lab.events.flatMap(event => (event.kind === 'delivered' ? event.keyId : []))
    expect(order).toEqual(['k1', 'k1', 'k2'])
    await node.stop()
    await stopBoth()
    await lab.startAgent([current('k2')])
    await node.start({ seal: lab.seal('k2') })
    await canary.expectReadable()
  })

  it('that waits survives agents that are stopped and started again', async () => {
    await using lab = await staticNode()
    const never = (signal: AbortSignal) => once(signal, 'abort').then(() => Promise.reject(new Error('given up')))
    const stops = [await lab.startAgent([current('k1')], { untilOpen: never })]
    const node = await lab.startNode(lab.seal('k1'))
    for (let round = 0; round < 3; round += 1) {
      await waitsForKey(node)
      await stops.pop()?.()
      stops.push(await lab.startAgent([current('k1')], { untilOpen: never }))
    }
    await stops.pop()?.()
    await lab.startAgent([current('k1')])
    await node.waitFor('uninitialised')
    expect(lab.events.map(({ kind }) => kind)).toEqual(['readerCame', 'delivered'])
  })

  it('ends with its own words when its agent dies between meeting it and giving it the key, and the next start opens', async () => {
    await using lab = await staticNode()
    const fail = () => Promise.reject(new Error('no seal gives the key now'))
    const stop = await lab.startAgent([current('k1')], { unwrapKey: fail })
    const node = await lab.startNode(lab.seal('k1'))
    await lab.said('unwrapFailed')
    await stop()
    expect(await endOf(node)).toContain('Error configuring seal "static": missing required current key')
    await lab.startAgent([current('k1')])
    await node.start({ until: 'nothing' })
    await node.waitFor('uninitialised')
  })

  it('gets exactly its key although somebody else read one just before and another one still holds the pipe', async () => {
    await using lab = await staticNode()
    await lab.startAgent([current('k1')])
    const other = spawn('cat', [join(lab.directory, CURRENT)])
    const chunks: Buffer[] = []
    other.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    await once(other, 'close')
    expect(Buffer.concat(chunks)).toEqual(KEYS.k1)
    const lazy = spawn('sh', ['-c', 'exec 3<"$0"; echo open; exec sleep 60', join(lab.directory, CURRENT)])
    await once(lazy.stdout, 'data')
    const node = await lab.startNode(lab.seal('k1'))
    await node.waitFor('uninitialised')
    lazy.kill('SIGKILL')
    await once(lazy, 'close')
    // Each of them is told of: somebody who should not read shows up in the audit log.
    await lab.said('delivered', 3)
  })

  it('whose stanza names a previous key that there is not ends with its own words, instead of waiting for ever', async () => {
    await using lab = await staticNode()
    await lab.startAgent([current('k2'), previous('k0')])
    const node = await lab.startNode(lab.seal('k2', 'k0'))
    expect(await endOf(node)).toContain('got non-empty previous_key_id with empty previous_key')
    expect(lab.events.map(({ kind }) => kind)).toContain('keyUnknown')
  })
})

describe('an OpenBao that is started from the unsafe plain key file', () => {
  it('opens, and the file is gone after', async () => {
    await using lab = await staticNode()
    const memory = await mkdtemp('/dev/shm/sw-')
    const port = await freePort()
    const configPath = join(lab.nodeFolder, 'plain.hcl')
    await writeFile(
      configPath,
      `storage "inmem" {}\nseal "static" {}\nlistener "tcp" {\n  address = "127.0.0.1:${port}"\n  tls_disable = true\n}\n`,
    )
    try {
      const directory = join(memory, 'seal')
      const { signal } = new AbortController()
      const options = { directory, fileName: 'openbao.env', current: 'k2', previous: 'k1', unwrapKey, signal }
      const placed = await placeUnsafePlainKeyFile(options)
      await using server = await startProcess({
        name: 'plain',
        command: 'sh',
        args: [
          ...['-c', 'set -a; . "$1"; set +a; exec "$2" server "-config=$3"', 'sh'],
          ...[join(directory, 'openbao.env'), openBaoPath(), configPath],
        ],
        logDirectory: lab.nodeFolder,
        environment: { HOME: lab.nodeFolder },
      })
      await server.waitFor(() => server.logTail().includes('OpenBao server started!'), {
        what: 'OpenBao',
        timeoutMs: WAIT_MS,
      })
      await placed[Symbol.asyncDispose]()
      expect(readdirSync(directory)).toEqual([])
    } finally {
      rmSync(memory, { recursive: true })
    }
  })
})

/** The key, raw or in any of its spellings, is in no file of these folders, and not in what the process was started with. */
function expectNowhere(key: Buffer, folders: readonly string[], pid: number): void {
  const spellings = [key, ...(['hex', 'base64', 'base64url'] as const).map(form => Buffer.from(key.toString(form)))]
  const files = folders.flatMap(folder =>
    readdirSync(folder, { withFileTypes: true, recursive: true })
      .filter(entry => entry.isFile())
      .map(entry => join(entry.parentPath, entry.name)),
  )
  expect(files.length).toBeGreaterThan(3)
  const found = [...files, `/proc/${pid}/environ`, `/proc/${pid}/cmdline`].filter(path => {
    const bytes = readFileSync(path)
    return spellings.some(spelling => bytes.includes(spelling))
  })
  expect(found).toEqual([])
}
