import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { Secret } from '@sealwright/secret'
import { temporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { type StaticDeliveryEvent } from './events.ts'
import { serveStaticDelivery, type StaticDeliveryOptions } from './serve.ts'

const KEY = Buffer.alloc(32, 0xa7)
const WAIT_MS = 10_000
const keyNow = (): Promise<Secret> => Promise.resolve(new Secret(Uint8Array.from(KEY)))

/** A served folder with one pipe. */
async function served(more: Partial<StaticDeliveryOptions> = {}) {
  const folder = await temporaryFolder()
  const directory = folder.join('seal')
  const pipePath = `${directory}/current.fifo`
  const events: StaticDeliveryEvent[] = []
  const stops: (() => Promise<void>)[] = []
  const start = async (options: Partial<StaticDeliveryOptions> = {}) => {
    const stop = new AbortController()
    const { ended } = await serveStaticDelivery({
      directory,
      deliveries: [{ fileName: 'current.fifo', keyId: 'k1' }],
      untilOpen: () => Promise.resolve(),
      unwrapKey: keyNow,
      onEvent: event => events.push(event),
      steadyNow: () => performance.now(),
      signal: stop.signal,
      ...more,
      ...options,
    })
    const end = async () => {
      stop.abort()
      await ended
    }
    stops.push(end)
    return end
  }
  const kinds = () => events.map(({ kind }) => kind)
  return {
    directory,
    pipePath,
    events,
    kinds,
    start,
    said: (kind: StaticDeliveryEvent['kind'], times = 1) =>
      waitUntil(() => kinds().filter(each => each === kind).length >= times, { what: kind, timeoutMs: WAIT_MS }),
    async [Symbol.asyncDispose]() {
      for (const stop of stops) await stop()
      await folder.remove()
    },
  }
}

/** Readers that have not ended. */
const running = new Set<ChildProcess>()

afterEach(() => {
  for (const child of running) child.kill('SIGKILL')
})

/** Another process that reads the pipe to its end. */
function reader(path: string) {
  const child = spawn('cat', [path], { stdio: ['ignore', 'pipe', 'inherit'] })
  running.add(child)
  child.once('close', () => running.delete(child))
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  const closed = once(child, 'close')
  return {
    child,
    /** All that it read, once it has ended. */
    async all() {
      await closed
      return Buffer.concat(chunks)
    },
    async kill() {
      child.kill('SIGKILL')
      await closed
    },
  }
}

/** Waits until `cat` runs and sleeps: it waits in open() for somebody to open the other end. */
async function waitsInOpen(child: ChildProcess): Promise<void> {
  await waitUntil(() => readFileSync(`/proc/${child.pid ?? 0}/stat`, 'utf8').includes('(cat) S'), {
    what: 'a reader that waits in open()',
    timeoutMs: WAIT_MS,
  })
}

describe('the pipe', () => {
  it('gives 32 raw bytes to each reader, again and again', async () => {
    await using delivery = await served()
    await delivery.start()
    for (let round = 1; round <= 20; round += 1) {
      expect(await reader(delivery.pipePath).all()).toEqual(KEY)
      await delivery.said('delivered', round)
    }
    expect(delivery.kinds()).toEqual(Array.from({ length: 20 }, () => ['readerCame', 'delivered']).flat())
  })

  it('gives readers that come at once the key or nothing, and never more than one', async () => {
    await using delivery = await served()
    await delivery.start()
    for (let round = 0; round < 10; round += 1) {
      const all = await Promise.all(Array.from({ length: 4 }, () => reader(delivery.pipePath).all()))
      for (const bytes of all) expect([0, 32]).toContain(bytes.byteLength)
      expect(all.filter(({ byteLength }) => byteLength === 32).length).toBeGreaterThan(0)
    }
  })

  it('is closed to others, and readable by the group where one is given', async () => {
    await using alone = await served()
    await alone.start()
    expect([statSync(alone.directory).mode & 0o777, statSync(alone.pipePath).mode & 0o777]).toEqual([0o700, 0o600])
    const groupId = process.getgid?.() ?? 0
    await using shared = await served({ groupId })
    await shared.start()
    const modes = () => [statSync(shared.directory).mode & 0o777, statSync(shared.pipePath).mode & 0o777]
    expect(modes()).toEqual([0o710, 0o640])
    await reader(shared.pipePath).all()
    expect(modes()).toEqual([0o710, 0o640])
    expect(statSync(shared.pipePath).gid).toBe(groupId)
  })

  it('is left for the next agent, and a reader that waits at it meanwhile gets the key', async () => {
    await using delivery = await served()
    const stop = await delivery.start()
    await stop()
    const waiting = reader(delivery.pipePath)
    await waitsInOpen(waiting.child)
    await delivery.start()
    expect(await waiting.all()).toEqual(KEY)
  })

  it('lets a reader wait until a seal has opened, whatever agent comes and goes', async () => {
    await using delivery = await served()
    const opened = Promise.withResolvers<undefined>()
    const never = (signal: AbortSignal) =>
      new Promise<void>((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          reject(new Error('given up'))
        })
      })
    const stop = await delivery.start({ untilOpen: never })
    const waiting = reader(delivery.pipePath)
    await waitsInOpen(waiting.child)
    await stop()
    await delivery.start({ untilOpen: () => opened.promise })
    await waitsInOpen(waiting.child)
    opened.resolve(undefined)
    expect(await waiting.all()).toEqual(KEY)
    expect(delivery.kinds()).toEqual(['readerCame', 'delivered'])
  })

  it('is served although the wait for a seal failed once', async () => {
    await using delivery = await served()
    let tries = 0
    const failOnce = () => ((tries += 1) === 1 ? Promise.reject(new Error('not yet')) : Promise.resolve())
    await delivery.start({ untilOpen: failOnce })
    expect(await reader(delivery.pipePath).all()).toEqual(KEY)
    expect(delivery.kinds()).toEqual(['pipeFailed', 'readerCame', 'delivered'])
  })
})

describe('a reader', () => {
  it('waits while the key cannot be unwrapped, and gets it then', async () => {
    await using delivery = await served()
    let tries = 0
    const fail = () => Promise.reject(new Error('no seal gives the key now'))
    await delivery.start({ unwrapKey: () => ((tries += 1) < 3 ? fail() : keyNow()) })
    expect(await reader(delivery.pipePath).all()).toEqual(KEY)
    expect(delivery.kinds()).toEqual(['readerCame', 'unwrapFailed', 'unwrapFailed', 'delivered'])
  })

  it('that is killed while it waits is noticed, and the next one gets exactly the key', async () => {
    await using delivery = await served()
    let isDown = true
    const fail = () => Promise.reject(new Error('no seal gives the key now'))
    await delivery.start({ unwrapKey: () => (isDown ? fail() : keyNow()) })
    const killed = reader(delivery.pipePath)
    await delivery.said('unwrapFailed')
    await killed.kill()
    await delivery.said('readerLeft')
    isDown = false
    expect(await reader(delivery.pipePath).all()).toEqual(KEY)
  })

  it('that is gone when the key comes gets nothing, and neither do those after it get two', async () => {
    await using delivery = await served()
    const keys: PromiseWithResolvers<Secret>[] = []
    await delivery.start({
      unwrapKey: () => {
        const next = Promise.withResolvers<Secret>()
        keys.push(next)
        return next.promise
      },
    })
    const killed = reader(delivery.pipePath)
    await delivery.said('readerCame')
    await killed.kill()
    const next = reader(delivery.pipePath)
    await delivery.said('readerCame', 2)
    for (const key of keys) key.resolve(await keyNow())
    expect(await next.all()).toEqual(KEY)
    await delivery.said('delivered')
    expect(delivery.kinds()).toEqual(['readerCame', 'readerCame', 'readerLeft', 'delivered'])
  })

  it('that leaves the key unread leaves it to nobody', async () => {
    await using delivery = await served()
    await delivery.start()
    for (let round = 1; round <= 10; round += 1) {
      const lazy = openSync(delivery.pipePath, constants.O_RDONLY | constants.O_NONBLOCK)
      await delivery.said('delivered', 2 * round - 1)
      const next = reader(delivery.pipePath)
      expect(await next.all()).toEqual(KEY)
      closeSync(lazy)
      await delivery.said('delivered', 2 * round)
    }
  })

  it('of a key that there is not reads an empty file', async () => {
    await using delivery = await served({ unwrapKey: () => Promise.resolve(undefined) })
    await delivery.start()
    expect(await reader(delivery.pipePath).all()).toEqual(Buffer.alloc(0))
    expect(delivery.kinds()).toEqual(['readerCame', 'keyUnknown'])
  })

  it('gets nothing of a key of another length: STATIC_DELIVERY_KEY_LENGTH', async () => {
    const wrong = () => Promise.resolve(new Secret(new Uint8Array(31)))
    await using delivery = await served({ unwrapKey: wrong })
    const stop = await delivery.start()
    const waiting = reader(delivery.pipePath)
    await delivery.said('unwrapFailed')
    expect(delivery.events[1]).toMatchObject({ cause: { code: 'STATIC_DELIVERY_KEY_LENGTH' } })
    await stop()
    expect(await waiting.all()).toEqual(Buffer.alloc(0))
  })

  it('gets the key of its own pipe, each unwrapped when it reads and wiped after', async () => {
    const given: { readonly keyId: string; readonly secret: Secret }[] = []
    await using delivery = await served({
      deliveries: [
        { fileName: 'current.fifo', keyId: 'k2' },
        { fileName: 'previous.fifo', keyId: 'k1' },
      ],
      unwrapKey: keyId => {
        const secret = new Secret(new Uint8Array(32).fill(keyId === 'k2' ? 2 : 1))
        given.push({ keyId, secret })
        return Promise.resolve(secret)
      },
    })
    await delivery.start()
    expect(given).toEqual([])
    expect(await reader(`${delivery.directory}/previous.fifo`).all()).toEqual(Buffer.alloc(32, 1))
    expect(await reader(delivery.pipePath).all()).toEqual(Buffer.alloc(32, 2))
    await delivery.said('delivered', 2)
    expect(given.map(({ keyId }) => keyId)).toEqual(['k1', 'k2'])
    for (const { secret } of given) expect(() => secret.reveal(bytes => bytes.byteLength)).toThrow('wiped')
  })
})

describe('what stands in the place of the pipe', () => {
  it('is refused at the start where it is no pipe of ours: STATIC_DELIVERY_FOREIGN_FILE', async () => {
    await using delivery = await served()
    mkdirSync(delivery.directory, { mode: 0o700 })
    writeFileSync(delivery.pipePath, 'somebody else')
    await expect(delivery.start()).rejects.toMatchObject({ code: 'STATIC_DELIVERY_FOREIGN_FILE' })
    expect(readFileSync(delivery.pipePath, 'utf8')).toBe('somebody else')
  })

  it('gets no key where somebody put a file there later, and is told of', async () => {
    await using delivery = await served()
    await delivery.start()
    const planted = `${delivery.directory}/planted`
    writeFileSync(planted, '')
    renameSync(planted, delivery.pipePath)
    await delivery.said('pipeFailed')
    expect(delivery.events.at(-1)).toMatchObject({ cause: { code: 'STATIC_DELIVERY_FOREIGN_FILE' } })
    expect(statSync(delivery.pipePath).size).toBe(0)
  })
})

describe('a folder', () => {
  it.each<readonly [string, (directory: string) => void]>([
    [
      'that others may write to',
      directory => {
        mkdirSync(directory)
        chmodSync(directory, 0o777)
      },
    ],
    [
      'that is a file',
      directory => {
        writeFileSync(directory, '')
      },
    ],
  ])('%s is refused: STATIC_DELIVERY_FOLDER_UNUSABLE', async (_what, prepare) => {
    await using delivery = await served()
    prepare(delivery.directory)
    await expect(delivery.start()).rejects.toMatchObject({ code: 'STATIC_DELIVERY_FOLDER_UNUSABLE' })
  })

  it('that a killed agent had only just made is made ready for the group; one that was set up otherwise is left so', async () => {
    const groupId = process.getgid?.() ?? 0
    for (const [before, after] of [
      [0o700, 0o710],
      [0o750, 0o750],
    ] as const) {
      await using delivery = await served({ groupId })
      mkdirSync(delivery.directory)
      chmodSync(delivery.directory, before)
      await delivery.start()
      expect(statSync(delivery.directory).mode & 0o777).toBe(after)
    }
  })

  it('in one that does not exist is refused: STATIC_DELIVERY_FOLDER_UNUSABLE', async () => {
    await using delivery = await served()
    const directory = `${delivery.directory}/deeper`
    await expect(delivery.start({ directory })).rejects.toMatchObject({ code: 'STATIC_DELIVERY_FOLDER_UNUSABLE' })
  })

  it.each(['', '../up', 'a/b', '.hidden', 'x'.repeat(65)])(
    'takes no pipe called %j: STATIC_DELIVERY_NAME_INVALID',
    async fileName => {
      await using delivery = await served({ deliveries: [{ fileName, keyId: 'k1' }] })
      await expect(delivery.start()).rejects.toMatchObject({ code: 'STATIC_DELIVERY_NAME_INVALID' })
    },
  )

  it('gets no pipe without the program that makes them: STATIC_DELIVERY_MKFIFO_FAILED', async () => {
    await using delivery = await served({ mkfifoPath: '/nothing/here' })
    await expect(delivery.start()).rejects.toMatchObject({ code: 'STATIC_DELIVERY_MKFIFO_FAILED' })
  })

  it('that cannot be made ready is told of: STATIC_DELIVERY_IO_FAILED', async () => {
    await using delivery = await served({ directory: `/dev/null/x` })
    await expect(delivery.start()).rejects.toMatchObject({ code: 'STATIC_DELIVERY_IO_FAILED' })
  })
})
