import { findProcesses, type ProcessInfo, waitUntil } from '@sealwright/testing-rig'

/** What may run on a node. `other` is anything else that belongs to it, such as a child that was left behind. */
export type NodeProgram = 'agent' | 'connector' | 'openbao' | 'tpm' | 'other'

/** What runs on a node that serves. */
export const ALL_PROGRAMS: readonly NodeProgram[] = ['agent', 'connector', 'openbao', 'tpm']

const SETTLE_TIMEOUT_MS = 30_000

/** Everything that runs now and whose command line or working folder lies in a node's folder, sorted by name. */
export function programsIn(directory: string): readonly NodeProgram[] {
  return processesIn(directory).map(programOf).sort()
}

/** The process ids of one of a node's programs. */
export function pidsOf(directory: string, program: NodeProgram): readonly number[] {
  return processesIn(directory)
    .filter(process => programOf(process) === program)
    .map(({ pid }) => pid)
}

/** Waits until exactly these programs run: no program twice, none left behind. */
export async function expectPrograms(directory: string, ...expected: readonly NodeProgram[]): Promise<void> {
  const wanted = [...expected].sort().join(' ')
  await waitUntil(() => programsIn(directory).join(' ') === wanted, {
    what: `exactly these programs: ${wanted}`,
    timeoutMs: SETTLE_TIMEOUT_MS,
    describe: () => `running: ${processesIn(directory).map(describe).join('\n')}`,
  })
}

function processesIn(directory: string): readonly ProcessInfo[] {
  return findProcesses(({ pid, commandLine, workingDirectory }) => {
    if (pid === process.pid) return false
    return commandLine.some(argument => argument.includes(directory)) || workingDirectory().startsWith(directory)
  })
}

function programOf({ commandLine }: ProcessInfo): NodeProgram {
  const line = commandLine.join(' ')
  if (line.includes('/unsealer-sidecar/dist/main.mjs')) return 'agent'
  if (line.includes('/sealwright-connector')) return 'connector'
  if (line.includes(' server -config=')) return 'openbao'
  if (line.startsWith('swtpm ')) return 'tpm'
  return 'other'
}

function describe({ pid, parentPid, commandLine }: ProcessInfo): string {
  return `${pid} (child of ${parentPid}) ${commandLine.join(' ')}`
}
