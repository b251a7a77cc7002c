import { PassThrough, Writable } from 'node:stream'
import { type CommandContext } from '../context.ts'
import { runSealctl } from '../program.ts'

/** What a run printed, and how it ended. */
export interface Outcome {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

export interface World {
  /** All that is typed or piped in. */
  readonly input?: string | Uint8Array
  /** Whether input and output are a terminal. */
  readonly isTerminal?: boolean
  readonly signal?: AbortSignal
  /** Left out: {@link NOW}. */
  readonly now?: Date
}

export const NOW = new Date('2026-01-02T03:04:05.000Z')

/** Runs sealctl in this process. */
export async function runHere(args: readonly string[], world: World = {}): Promise<Outcome> {
  const { input = '', isTerminal = false, signal = new AbortController().signal, now = NOW } = world
  const isTTY = { isTTY: isTerminal }
  const stdin = Object.assign(new PassThrough(), isTTY)
  const [stdout, stderr] = [Object.assign(printer(), isTTY), Object.assign(printer(), isTTY)]
  stdin.end(input)
  const context: CommandContext = { stdin, stdout, stderr, signal, now: () => now, interrupt: () => undefined }
  const exitCode = await runSealctl(args, context)
  return { exitCode, stdout: stdout.printed(), stderr: stderr.printed() }
}

/** Keeps a copy of what is written: the writer may wipe its own. */
function printer(): Writable & { printed(): string } {
  const chunks: Buffer[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(Buffer.from(chunk))
      done()
    },
  })
  return Object.assign(stream, { printed: () => Buffer.concat(chunks).toString() })
}
