import { readFileSync } from 'node:fs'
import { type LogLine, type SealedNode } from '@sealwright/testing-cluster'

/** Generous: a test that waits this long has failed. */
const LOG_TIMEOUT_MS = 60_000

/** Waits until the agent's log has a line with these fields from its newest start. */
export async function waitForAgentLine(node: SealedNode, fields: Readonly<Record<string, unknown>>): Promise<LogLine> {
  return await node.agent().waitFor(() => agentLines(node, fields)[0], {
    what: `${JSON.stringify(fields)} in the log of the agent`,
    timeoutMs: LOG_TIMEOUT_MS,
  })
}

/** The lines with these fields that the newest agent has logged so far. */
export function agentLines(node: SealedNode, fields: Readonly<Record<string, unknown>>): readonly LogLine[] {
  const { pid, logPath } = node.agent()
  // What follows the last line feed may still be half written.
  const lines = readFileSync(logPath, 'utf8').split('\n').slice(0, -1)
  return lines
    .filter(line => line.startsWith('{'))
    .map(line => JSON.parse(line) as LogLine)
    .filter(line => Object.entries({ pid, ...fields }).every(([name, value]) => line[name] === value))
}

/** The log of OpenBao, from all its starts together. */
export function openBaoLog(node: SealedNode): string {
  return readFileSync(node.openBao().logPath, 'utf8')
}

/** Waits until OpenBao's log holds `text` at least `times` times, from all its starts together. */
export async function waitForOpenBaoLog(node: SealedNode, text: string, times = 1): Promise<void> {
  await node
    .openBao()
    .process()
    .waitFor(() => openBaoLog(node).split(text).length > times, {
      what: `${times} times "${text}" in the log of OpenBao`,
      timeoutMs: LOG_TIMEOUT_MS,
    })
}
