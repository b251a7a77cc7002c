import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type FixtureSettings } from './fixture-settings.ts'

/** One line that a fixture agent printed. */
export interface FixtureLine {
  readonly kind: string
  readonly [field: string]: unknown
}

/** A fixture agent that runs. */
export interface FixtureAgent {
  readonly lines: readonly FixtureLine[]
  /** Waits for a line of this kind behind the first `skip` ones of it. */
  readonly waitFor: (kind: string, skip?: number) => Promise<FixtureLine>
  /** SIGKILL, and its end. */
  readonly kill: () => Promise<void>
  /** SIGTERM, and its end. */
  readonly stop: () => Promise<void>
}

const DEFAULTS = { decrypt: 'answer', encrypt: 'answer' } as const

/** Starts a fixture agent; it ends with us. `path` is the program, found beside this file. */
export function startFixtureAgent(
  settings: Pick<FixtureSettings, 'directory' | 'keyHex'> & Partial<FixtureSettings>,
): FixtureAgent {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'fixture-agent.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { PATH: '/usr/bin:/bin' },
  })
  child.stdin.write(`${JSON.stringify({ ...DEFAULTS, ...settings })}\n`)
  const lines: FixtureLine[] = []
  const watchers = new Set<() => void>()
  const ended = new Promise<void>(resolve => {
    child.once('exit', () => {
      resolve()
    })
  })
  createInterface({ input: child.stdout }).on('line', text => {
    lines.push(JSON.parse(text) as FixtureLine)
    for (const watcher of watchers) watcher()
  })

  return {
    lines,
    async waitFor(kind, skip = 0) {
      const find = () => lines.filter(line => line.kind === kind)[skip]
      const { promise, resolve } = Promise.withResolvers<FixtureLine>()
      const watcher = () => {
        const line = find()
        if (line) resolve(line)
      }
      watchers.add(watcher)
      watcher()
      const gone = ended.then(() => {
        throw new Error(`the agent ended before it said "${kind}"`)
      })
      return await Promise.race([promise, gone]).finally(() => watchers.delete(watcher))
    },
    kill: () => end(child, 'SIGKILL', ended),
    stop: () => end(child, 'SIGTERM', ended),
  }
}

function end(child: ChildProcess, signal: NodeJS.Signals, ended: Promise<void>): Promise<void> {
  child.kill(signal)
  return ended
}
