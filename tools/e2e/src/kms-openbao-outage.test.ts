import { existsSync, readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createPluginNode, KMS_KEY, startTransitOpenBao, type TransitOpenBao } from '@sealwright/testing-kms'
import { codesOf, loadPlugin, waitForLoad } from './kms-kit.ts'
import {
  APISERVER_TIMEOUT_MS,
  type KmsSubject,
  NO_ANSWER,
  REFUSED,
  startSubject,
  UNAVAILABLE,
  watchSubject,
} from './kms-subject.ts'
import { sharedScope } from './test-scope.ts'

// One plugin, which is never restarted, and one OpenBao, which goes through everything that befalls a server.
const scope = sharedScope()

let bao: TransitOpenBao
let subject: KmsSubject
let pid: number
let openFilesBefore: number

beforeAll(async () => {
  bao = scope.use(await startTransitOpenBao({ directory: scope.folder.join('bao') }))
  const token = await bao.writeToken()
  subject = await startSubject(scope, {
    backend: bao.backend(),
    forbidden: [KMS_KEY, new URL(bao.node.apiAddress).host, token, bao.tokenFile, 'transit/'],
  })
  pid = subject.plugin.process().pid
  openFilesBefore = openFiles().length
}, 120_000)

interface Outage {
  readonly begin: () => unknown
  readonly end: () => unknown
  /** What calls answer once it has been noticed. */
  readonly code: 'UNAVAILABLE' | 'DEADLINE_EXCEEDED'
  readonly kmsCode: 'KMS_BACKEND_UNAVAILABLE' | 'KMS_BACKEND_REFUSED' | 'KMS_DEADLINE_EXCEEDED'
  readonly text: string
}

const unavailable = { code: 'UNAVAILABLE', kmsCode: 'KMS_BACKEND_UNAVAILABLE', text: UNAVAILABLE } as const
const refused = { code: 'UNAVAILABLE', kmsCode: 'KMS_BACKEND_REFUSED', text: REFUSED } as const

const startBao = async (): Promise<void> => {
  await bao.node.start({ until: 'active' })
}

const outages: Readonly<Record<string, Outage>> = {
  'is stopped': { ...unavailable, begin: async () => await bao.node.stop(), end: startBao },
  'is killed': {
    ...unavailable,
    begin: async () => {
      bao.node.kill()
      await bao.node.process().exited
    },
    end: startBao,
  },
  'is frozen': {
    ...{ code: 'DEADLINE_EXCEEDED', kmsCode: 'KMS_DEADLINE_EXCEEDED', text: NO_ANSWER },
    begin: () => {
      bao.node.kill('SIGSTOP')
    },
    end: () => {
      bao.node.kill('SIGCONT')
    },
  },
  'is sealed': {
    ...unavailable,
    begin: async () => await bao.administer({ method: 'PUT', path: 'sys/seal' }),
    end: async () => {
      await bao.node.restart({ until: 'active' })
    },
  },
  'has a rate limit that is used up': {
    ...unavailable,
    // One request in a minute.
    begin: async () =>
      await bao.administer({
        ...{ method: 'POST', path: 'sys/quotas/rate-limit/narrow' },
        body: { path: 'transit/', rate: 1, interval: '60s' },
      }),
    end: async () => await bao.administer({ method: 'DELETE', path: 'sys/quotas/rate-limit/narrow' }),
  },
  'has lost its transit engine': {
    ...refused,
    begin: async () => {
      await moveEngine('transit', 'elsewhere')
    },
    end: async () => {
      await moveEngine('elsewhere', 'transit')
    },
  },
}

it.each(Object.keys(outages))('says what is wrong while OpenBao %s, and goes on by itself', async name => {
  const { begin, end, code, kmsCode, text } = outages[name] ?? fail(name)
  const refusal = `${code}: ${text}`
  expect([await subject.encrypt(), await subject.decrypt()]).toEqual(['OK', 'OK'])
  const countBefore = await callsEndedBy(code)

  await begin()
  await subject.waitForDecrypt(refusal)
  // From now on nobody waits for what does not come.
  const startedMs = performance.now()
  expect([await subject.encrypt(), await subject.decrypt()]).toEqual([refusal, refusal])
  expect(performance.now() - startedMs).toBeLessThan(APISERVER_TIMEOUT_MS)
  await subject.waitUntilIll(`${kmsCode}: ${text}`)
  expect(await subject.metric('sealwright_kms_healthy')).toBe(0)
  expect(await callsEndedBy(code)).toBeGreaterThan(countBefore)

  await end()
  await subject.waitForDecrypt('OK')
  await subject.waitUntilWell()
  expect([await subject.encrypt(), await subject.decrypt()]).toEqual(['OK', 'OK'])
  expect(await subject.metric('sealwright_kms_healthy')).toBe(1)
  expect(subject.plugin.process()).toMatchObject({ pid })
  expect(subject.plugin.process().end()).toBeUndefined()
})

it('answers many who wait while OpenBao is frozen, all before kube-apiserver gives up, and loses none of those who come after', async () => {
  bao.node.kill('SIGSTOP')
  const waiting = await Promise.all(Array.from({ length: 64 }, async () => await subject.decrypt()))
  expect(new Set(waiting)).toEqual(new Set([`DEADLINE_EXCEEDED: ${NO_ANSWER}`]))
  bao.node.kill('SIGCONT')
  await subject.waitForDecrypt('OK')
  const after = await Promise.all(Array.from({ length: 64 }, async () => await subject.decrypt()))
  expect(new Set(after)).toEqual(new Set(['OK']))
  await subject.waitUntilWell()
})

it('fails fast under load while OpenBao is down, says so seldom, and to its operator alone where', async () => {
  const linesBefore = await logLines()
  const { socketPath } = subject.plugin
  const load = loadPlugin({ socketPath, operation: 'encrypt', callers: 16, durationMs: 4_000 })
  await waitForLoad(subject.plugin)
  await bao.node.stop()
  const { OK = 0, Unavailable = 0, ...others } = codesOf(await load)
  expect(others).toEqual({})
  expect(OK).toBeGreaterThan(0)
  expect(Unavailable).toBeGreaterThan(200)
  const said = (await logLines()).slice(linesBefore.length)
  expect(said.length).toBeLessThan(10)
  const why = said.find(line => line.includes('"the backend does not work"'))
  expect(why).toContain('TRANSIT_UNREACHABLE')
  expect(why).toContain(new URL(bao.node.apiAddress).host)
  await startBao()
  await subject.waitUntilWell()
})

it('has no more files open after all that', () => {
  expect(openFiles().length).toBeLessThan(openFilesBefore + 20)
})

it('starts without OpenBao, serves by what it remembers of the key, and decrypts once OpenBao is there', async () => {
  await bao.node.stop()
  await subject.plugin.stop()
  await subject.plugin.start()
  await subject.waitForDecrypt(`UNAVAILABLE: ${UNAVAILABLE}`)
  await subject.waitUntilIll(`KMS_BACKEND_UNAVAILABLE: ${UNAVAILABLE}`)
  await startBao()
  await subject.waitForDecrypt('OK')
  await subject.waitUntilWell()
})

it('starts for the first time without OpenBao: no socket, and why; it serves as soon as OpenBao is there', async () => {
  await bao.node.stop()
  const plugin = scope.use(
    await createPluginNode({ directory: scope.folder.join('first'), name: 'first', backend: bao.backend() }),
  )
  await plugin.start({ until: 'nothing' })
  const why = await plugin.process().waitFor(
    async () => {
      if (!existsSync(plugin.statusSocketPath)) return false
      const { status, text } = await plugin.ask('/readyz')
      return text.startsWith('KMS_BACKEND_UNAVAILABLE') && `${status} ${text}`
    },
    { what: 'the reason', timeoutMs: 30_000 },
  )
  expect(why).toBe(`503 KMS_BACKEND_UNAVAILABLE: ${UNAVAILABLE}\n`)
  expect(existsSync(plugin.socketPath)).toBe(false)
  await startBao()
  await plugin.waitUntilReady()
  await plugin.process().waitFor(() => existsSync(plugin.socketPath), { what: 'the socket', timeoutMs: 30_000 })
  const first = await watchSubject(scope, plugin, [])
  expect([first.keyId, await first.decrypt()]).toEqual([subject.keyId, 'OK'])
})

async function moveEngine(from: string, to: string): Promise<void> {
  await bao.administer({ method: 'POST', path: 'sys/remount', body: { from, to } })
}

async function logLines(): Promise<readonly string[]> {
  return (await readFile(subject.plugin.process().logPath, 'utf8')).split('\n').slice(0, -1)
}

function openFiles(): readonly string[] {
  return readdirSync(`/proc/${pid}/fd`)
}

async function callsEndedBy(status: string): Promise<number> {
  return await subject.metric(`sealwright_kms_call_seconds_count{method="Decrypt",status="${status}"}`)
}

function fail(name: string): never {
  throw new Error(`there is no outage ${name}`)
}
