import { readFile } from 'node:fs/promises'
import { createPluginNode, type PluginNode, startTransitOpenBao } from '@sealwright/testing-kms'
import { loadPlugin } from './kms-kit.ts'
import { testScope } from './test-scope.ts'

const scope = testScope()

/** Ten minutes with SLOW=1, and the figures are printed. */
const isLong = process.env.SLOW === '1'
const DURATION_MS = isLong ? 600_000 : 21_000
const CALLERS = 16
const SAMPLE_INTERVAL_MS = 500
const MIB = 1_048_576
const PAGE_BYTES = 4_096
/** What a garbage collector may differ by from one third of the time to the next. */
const MOST_GROWTH_MIB = 24
const FEWEST_CALLS_PER_SECOND = 50

it(
  'does not grow under a mixed load of right and wrong calls, beside looks at its metrics',
  async () => {
    const bao = scope.use(await startTransitOpenBao({ directory: scope.folder.join('bao') }))
    const plugin = scope.use(
      await createPluginNode({ directory: scope.folder.join('node'), name: 'kms-plugin', backend: bao.backend() }),
    )
    await plugin.start()
    await plugin.waitUntilReady()
    const atStart = await residentMib(plugin)
    const load = loadPlugin({
      ...{ socketPath: plugin.socketPath, operation: 'mixed', callers: CALLERS, durationMs: DURATION_MS },
    })
    const samples = await sampled(plugin)
    const report = await load

    const third = Math.floor(samples.length / 3)
    const second = Math.max(...samples.slice(third, 2 * third))
    const last = Math.max(...samples.slice(2 * third))
    if (isLong) {
      const figures = { atStart, atThird: samples[third], second, last, calls: report.calls, wrong: report.wrong }
      process.stdout.write(`${JSON.stringify({ ...figures, operations: report.operations }, null, 2)}\n`)
    }
    expect(report.wrong).toBe(0)
    expect(report.calls).toBeGreaterThan((FEWEST_CALLS_PER_SECOND * DURATION_MS) / 1_000)
    expect(last).toBeLessThan(second + MOST_GROWTH_MIB)
    expect(plugin.process().end()).toBeUndefined()
    expect(await plugin.ask('/readyz')).toEqual({ status: 200, text: 'ok\n' })
  },
  DURATION_MS + 300_000,
)

/** The memory of the plugin in MiB, again and again for as long as the load lasts. */
async function sampled(plugin: PluginNode): Promise<readonly number[]> {
  const samples: number[] = []
  const endMs = performance.now() + DURATION_MS
  const sample = async (): Promise<boolean> => {
    samples.push(await residentMib(plugin))
    await plugin.ask('/metrics')
    return performance.now() >= endMs
  }
  await plugin.process().waitFor(sample, {
    ...{ what: 'the end of the load', timeoutMs: 2 * DURATION_MS, intervalMs: SAMPLE_INTERVAL_MS },
  })
  return samples
}

async function residentMib(plugin: PluginNode): Promise<number> {
  const { pid } = plugin.process()
  const [, pages = ''] = (await readFile(`/proc/${pid}/statm`, 'utf8')).split(' ')
  return (Number(pages) * PAGE_BYTES) / MIB
}
