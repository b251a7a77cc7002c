import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { hasErrorCode } from '@sealwright/system-error'
import { type PluginNode } from '@sealwright/testing-kms'
import { repositoryRoot, SEARCH_PATH, waitUntil } from '@sealwright/testing-rig'

/** What one conformance case came to. */
export interface ConformanceResult {
  readonly id: string
  readonly sentence: string
  readonly outcome: 'passed' | 'failed' | 'skipped'
  readonly durationMs: number
  /** Of one that failed. */
  readonly expected?: string
  readonly got?: string
  /** Of one that was skipped. */
  readonly reason?: string
}

export interface ConformanceOptions {
  readonly socketPath: string
  /** For `/bin/sh`: makes a new version of the key. */
  readonly rotateCommand: string
  /** What no refusal may hold. */
  readonly forbidden: readonly string[]
}

/** How often one operation was called, and what came of it. */
export interface LoadedOperation {
  readonly operation: 'encrypt' | 'decrypt' | 'status' | 'bad-decrypt'
  readonly calls: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  /** Names of gRPC, as Go spells them, and how many calls ended so. */
  readonly codes: Readonly<Record<string, number>>
  /** Answers that are not what was encrypted, and refusals of what is right. */
  readonly wrong: number
}

export interface LoadReport {
  readonly calls: number
  readonly perSecond: number
  readonly wrong: number
  readonly operations: readonly LoadedOperation[]
}

export interface LoadOptions {
  readonly socketPath: string
  readonly operation: LoadedOperation['operation'] | 'mixed'
  readonly callers: number
  readonly durationMs: number
  /** Of each call. Default: that of kube-apiserver. */
  readonly timeoutMs?: number
}

/** What the kit ends with when a case failed, or an answer was wrong: its report says which. */
const EXIT_SOMETHING_FAILED = 1
const CONFORMANCE_TIMEOUT_MS = 480_000
const LIST_TIMEOUT_MS = 30_000
/** On top of its own duration, for its start, and for calls that are under way at the end. */
const LOAD_EXTRA_MS = 60_000
const ENOUGH_CALLS = 200
const REPORT_BYTES = 16 * 1024 * 1024
const APISERVER_TIMEOUT_MS = 3_000

/** Every case of the profile `strict`, by its id, in the order in which they run. */
export async function conformanceCases(): Promise<readonly string[]> {
  // The socket is not connected to.
  const args = ['run', '--list', '--json', '--profile', 'strict', '--socket', '/nowhere']
  const cases = JSON.parse(await runKit(args, LIST_TIMEOUT_MS)) as readonly { readonly id: string }[]
  return cases.map(({ id }) => id)
}

/** Runs every case of the profile `strict` against a provider. */
export async function runConformance(options: ConformanceOptions): Promise<readonly ConformanceResult[]> {
  const { socketPath, rotateCommand, forbidden } = options
  const report = await runKit(
    [
      ...['run', '--json', '--profile', 'strict', '--socket', socketPath],
      ...['--rotate-command', rotateCommand, '--rotation-wait', '1m'],
      ...forbidden.flatMap(text => ['--forbid-text', text]),
    ],
    CONFORMANCE_TIMEOUT_MS,
  )
  return (JSON.parse(report) as { readonly results: readonly ConformanceResult[] }).results
}

/** Calls a provider as often as it can. */
export async function loadPlugin(options: LoadOptions): Promise<LoadReport> {
  const { socketPath, operation, callers, durationMs, timeoutMs = APISERVER_TIMEOUT_MS } = options
  const report = await runKit(
    [
      ...['load', '--json', '--socket', socketPath, '--callers', String(callers)],
      ...(operation === 'mixed' ? ['--mixed'] : ['--operation', operation]),
      ...['--duration', `${durationMs}ms`, '--timeout', `${timeoutMs}ms`],
    ],
    durationMs + LOAD_EXTRA_MS,
  )
  return JSON.parse(report) as LoadReport
}

/** How many calls a plugin has answered. */
export async function callsAnswered({ ask }: Pick<PluginNode, 'ask'>): Promise<number> {
  const { text } = await ask('/metrics')
  const counts = [...text.matchAll(/^sealwright_kms_call_seconds_count\{[^}]*\} (\d+)$/gm)]
  return counts.reduce((sum, [, count]) => sum + Number(count), 0)
}

/** Waits until a plugin is well under load. The kit cannot begin while the plugin cannot encrypt. */
export async function waitForLoad(plugin: Pick<PluginNode, 'ask'>): Promise<void> {
  const before = await callsAnswered(plugin)
  await waitUntil(async () => (await callsAnswered(plugin)) > before + ENOUGH_CALLS, {
    ...{ what: `${ENOUGH_CALLS} calls`, timeoutMs: LOAD_EXTRA_MS },
  })
}

/** One line of a case that did not pass. */
export function troubleOf({ id, outcome, sentence, expected, got, reason }: ConformanceResult): string {
  const why = reason ?? `expected ${expected ?? 'nothing'}, got ${got ?? 'nothing'}`
  return `${id} ${outcome}: ${sentence}: ${why}`
}

/** How often each code was answered, whatever the operation. */
export function codesOf({ operations }: LoadReport): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const { codes } of operations) {
    for (const [code, count] of Object.entries(codes)) counts[code] = (counts[code] ?? 0) + count
  }
  return counts
}

/** Its standard output, also where its report is that something failed. */
async function runKit(args: readonly string[], timeoutMs: number): Promise<string> {
  const limits = { env: { PATH: SEARCH_PATH }, timeout: timeoutMs, maxBuffer: REPORT_BYTES }
  try {
    return (await promisify(execFile)(kitPath(), [...args], limits)).stdout
  } catch (error) {
    const { code, stdout } = error as { readonly code?: unknown; readonly stdout?: string }
    if (code === EXIT_SOMETHING_FAILED && stdout?.startsWith('{') === true) return stdout
    throw error
  }
}

function kitPath(): string {
  const path = join(repositoryRoot(), '.tools/bin/kms-conformance')
  try {
    accessSync(path, constants.X_OK)
    return path
  } catch (cause) {
    if (!hasErrorCode(cause, 'ENOENT', 'EACCES')) throw cause
    throw new Error(`the conformance kit is missing at ${path}: run \`npm run setup\``, { cause })
  }
}
