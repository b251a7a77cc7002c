import { readFile } from 'node:fs/promises'
import { type ControlPlaneNode } from '@sealwright/testing-kms'
import { waitUntil } from '@sealwright/testing-rig'
import { LabError } from '../errors.ts'

type Plugin = ControlPlaneNode['plugin']

const WAIT_TIMEOUT_MS = 60_000

/** What the plugin says of itself at `/readyz`, once it is `ready` or not. */
export async function untilReadyz(
  plugin: Plugin,
  { isReady, signal }: { readonly isReady: boolean; readonly signal: AbortSignal },
): Promise<string> {
  return await waitUntil(
    async () => {
      const { status, text } = await plugin.ask('/readyz')
      return (status === 200) === isReady && text.trim()
    },
    { what: `${plugin.name} to be ${isReady ? 'ready' : 'ill'}`, timeoutMs: WAIT_TIMEOUT_MS, signal },
  )
}

/** When the plugin said, in its log, that this version of the key has come to this phase: milliseconds since 1970. */
export async function untilPhase(
  plugin: Plugin,
  {
    version,
    phase,
    signal,
  }: { readonly version: number; readonly phase: 'pending' | 'active'; readonly signal: AbortSignal },
): Promise<number> {
  return await waitUntil(
    async () => {
      const line = (await logOf(plugin)).find(
        each => each.msg === 'version of the key' && each.version === version && each.phase === phase,
      )
      return line !== undefined && Date.parse(String(line.time))
    },
    { what: `version ${version} to be ${phase} on ${plugin.name}`, timeoutMs: WAIT_TIMEOUT_MS, signal },
  )
}

/** Calls of Decrypt that the plugin refused as invalid, and how long they took in all, since it runs. */
export async function refusedDecrypts(plugin: Plugin): Promise<{ readonly calls: number; readonly seconds: number }> {
  const { text } = await plugin.ask('/metrics')
  return {
    calls: metric(text, 'sealwright_kms_call_seconds_count', /method="Decrypt",status="INVALID_ARGUMENT"/),
    seconds: metric(text, 'sealwright_kms_call_seconds_sum', /method="Decrypt",status="INVALID_ARGUMENT"/),
  }
}

/** A sample in the text format of Prometheus; 0 if there is none. */
function metric(text: string, name: string, labels: RegExp): number {
  const line = text.split('\n').find(each => each.startsWith(`${name}{`) && labels.test(each))
  const value = Number(line?.split(' ').at(-1) ?? 0)
  if (Number.isNaN(value)) throw new LabError(`${name} is no number`)
  return value
}

async function logOf(plugin: Plugin): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const text = await readFile(plugin.process().logPath, 'utf8')
  return text
    .split('\n')
    .filter(line => line.startsWith('{') && line.endsWith('}'))
    .map(line => JSON.parse(line) as Readonly<Record<string, unknown>>)
}
