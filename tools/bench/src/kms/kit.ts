import { execFile } from 'node:child_process'
import { accessSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { repositoryRoot, RigError, SEARCH_PATH, startProcess, type StartedProcess } from '@sealwright/testing-rig'

/** What the kit's client asks a provider for. */
export type Operation = 'encrypt' | 'decrypt' | 'status' | 'bad-decrypt'

/** What came of one load. */
export interface Load {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export interface LoadOptions {
  readonly socketPath: string
  readonly operation: Operation
  readonly callers: number
  readonly seconds: number
}

const WARM_UP = '2s'
const MAX_OUTPUT_BYTES = 1_048_576

/** Path of the conformance kit, which has a load generator and a reference provider, both in Go. */
function kitPath(): string {
  const path = join(repositoryRoot(), '.tools/bin/kms-conformance')
  try {
    accessSync(path)
  } catch (cause) {
    throw new RigError('RIG_TOOL_MISSING', `the conformance kit is missing at ${path}: run \`npm run setup\``, {
      cause,
    })
  }
  return path
}

async function runKit(args: readonly string[]): Promise<unknown> {
  const { stdout } = await promisify(execFile)(kitPath(), [...args, '--json'], {
    env: { PATH: SEARCH_PATH },
    maxBuffer: MAX_OUTPUT_BYTES,
  })
  return JSON.parse(stdout)
}

/** Calls a provider as often as it can, over one connection as kube-apiserver has. Any wrong answer throws. */
export async function load({ socketPath, operation, callers, seconds }: LoadOptions): Promise<Load> {
  const report = (await runKit([
    ...['load', '--socket', socketPath, '--operation', operation, '--callers', String(callers)],
    ...['--duration', `${seconds}s`, '--warm-up', WARM_UP],
  ])) as { readonly operations: readonly [Load] }
  return report.operations[0]
}

/** How long kube-apiserver's own envelope code takes to read all objects with nothing cached. */
export async function coldStart(options: {
  readonly socketPath: string
  readonly seeds: number
  readonly objects: number
  readonly callers: number
  readonly repeats: number
}): Promise<number> {
  const { socketPath, seeds, objects, callers, repeats } = options
  const report = (await runKit([
    ...['cold-start', '--socket', socketPath, '--seeds', String(seeds), '--objects', String(objects)],
    ...['--callers', String(callers), '--repeat', String(repeats)],
  ])) as { readonly medianMs: number }
  return report.medianMs
}

/** An equal provider in Go: strict, with AES-256-GCM by a key in memory. */
export async function startReference(options: {
  readonly socketPath: string
  readonly directory: string
}): Promise<StartedProcess> {
  return await startProcess({
    ...{ name: 'reference', command: kitPath(), logDirectory: options.directory },
    args: ['serve-reference', '--socket', options.socketPath],
  })
}
