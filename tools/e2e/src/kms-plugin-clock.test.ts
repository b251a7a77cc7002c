import { writeFile } from 'node:fs/promises'
import {
  createPluginNode,
  KMS_KEY,
  type PluginNode,
  startTransitOpenBao,
  type TransitOpenBao,
} from '@sealwright/testing-kms'
import { programCommand } from '@sealwright/testing-cluster'
import { startProcess, waitUntil } from '@sealwright/testing-rig'
import { type KmsSubject, watchSubject } from './kms-subject.ts'
import { testScope } from './test-scope.ts'

// The bundled plugin with a wall clock that the test moves: a module that Node loads before the program. Its steady clock goes on as ever,
// as that of a machine does whose time is set.
const scope = testScope()

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const TIMEOUT_MS = 60_000
/** Far longer than a test waits: what becomes active before has become so by the clock. */
const ACTIVATION_DELAY_MS = 10 * MINUTE_MS

interface ClockedPlugin {
  readonly bao: TransitOpenBao
  readonly subject: KmsSubject
  readonly setClock: (offsetMs: number) => Promise<void>
  /** Version of the key that encrypts. */
  readonly version: () => Promise<number>
}

async function clockedPlugin(): Promise<ClockedPlugin> {
  const bao = scope.use(await startTransitOpenBao({ directory: scope.folder.join('bao') }))
  const plugin = await createPluginNode({
    ...{ directory: scope.folder.join('node'), name: 'kms-plugin', backend: bao.backend() },
    rotation: { stableObservations: 2, activationDelayMs: ACTIVATION_DELAY_MS },
  })
  const offsetPath = scope.folder.join('clock-offset')
  const setClock = async (offsetMs: number): Promise<void> => {
    await writeFile(offsetPath, String(offsetMs))
  }
  // A new key is taken as active once it is old enough.
  await setClock(ACTIVATION_DELAY_MS)
  await startWithClock(plugin, offsetPath)
  const subject = await watchSubject(scope, plugin, [KMS_KEY, new URL(bao.node.apiAddress).host])
  return { bao, subject, setClock, version: async () => await subject.metric('sealwright_kms_key_version') }
}

async function startWithClock(plugin: PluginNode, offsetPath: string): Promise<void> {
  const modulePath = scope.folder.join('clock.mjs')
  await writeFile(
    modulePath,
    [
      "import { readFileSync } from 'node:fs'",
      'const realNow = Date.now',
      `Date.now = () => realNow() + Number(readFileSync(${JSON.stringify(offsetPath)}, 'utf8') || 0)`,
    ].join('\n'),
  )
  const { command, args } = programCommand('kms-plugin')
  const process = scope.use(
    await startProcess({
      ...{ name: 'kms-plugin-clock', command, logDirectory: scope.folder.join('node') },
      args: ['--import', modulePath, ...args, '--config', plugin.configPath],
    }),
  )
  await process.waitFor(async () => await isReady(plugin), { what: 'the plugin to be ready', timeoutMs: TIMEOUT_MS })
}

async function isReady(plugin: PluginNode): Promise<boolean> {
  try {
    return (await plugin.ask('/readyz')).status === 200
  } catch {
    return false // its status socket is not there yet
  }
}

async function isLookedAt({ subject }: ClockedPlugin, times: number): Promise<void> {
  const passed = async (): Promise<number> => await subject.metric('sealwright_kms_probes_total{result="passed"}')
  const before = await passed()
  await waitUntil(async () => (await passed()) >= before + times, { what: `${times} looks`, timeoutMs: TIMEOUT_MS })
}

it.each([
  ['a day ahead', DAY_MS],
  ['a day back', -DAY_MS],
  ['to 1970', -Date.now()],
  ['ten years ahead', 3_650 * DAY_MS],
])('serves on, by the same key id, when the clock jumps %s and back again', async (_, jumpMs) => {
  const clocked = await clockedPlugin()
  const { subject, setClock } = clocked
  for (const offsetMs of [jumpMs, 0, jumpMs]) {
    await setClock(offsetMs)
    await isLookedAt(clocked, 3)
    expect([await subject.encrypt(), await subject.decrypt(), await subject.health()]).toEqual(['OK', 'OK', 'ok'])
  }
  expect(await subject.metric('sealwright_kms_probes_total{result="failed"}')).toBe(0)
})

it('waits with a new version as long as the clock says that it is young, and never goes back to the old one', async () => {
  const clocked = await clockedPlugin()
  const { bao, subject, setClock, version } = clocked
  await bao.rotate()
  // An hour slow: made in what is the future here.
  await setClock(-HOUR_MS)
  await isLookedAt(clocked, 5)
  expect(await version()).toBe(1)
  await setClock(0)
  await isLookedAt(clocked, 5)
  expect(await version()).toBe(1)
  await setClock(ACTIVATION_DELAY_MS)
  await waitUntil(async () => (await version()) === 2, { what: 'version 2 to be active', timeoutMs: TIMEOUT_MS })
  await setClock(-DAY_MS)
  await isLookedAt(clocked, 5)
  expect(await version()).toBe(2)
  // What the old version encrypted is decrypted whatever the clock says.
  expect(await subject.decrypt()).toBe('OK')
})
