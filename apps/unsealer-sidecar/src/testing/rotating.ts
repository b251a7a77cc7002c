import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type RotatingAnswer, type RotatingOrder } from './rotating-orders.ts'

/** A running `rotating-child.ts`. */
export interface Rotating extends AsyncDisposable {
  /** All that it has said so far; complete once it has ended. */
  readonly answers: readonly RotatingAnswer[]
  /** Resolves when all its nodes have opened their keyrings and said so many rotations together, or it has ended. */
  untilRotated(rotations: number): Promise<unknown>
  /** Resolves to the signal that ended it, if one did. */
  readonly ended: Promise<NodeJS.Signals | null>
  kill(): void
  /** What it wrote to stderr. */
  stderr(): string
}

const programPath = fileURLToPath(new URL('./rotating-child.ts', import.meta.url))

/**
 * Starts a child that rotates until it is killed.
 *
 * @param compileCachePath - a folder where Node keeps compiled code, so that hundreds of children start quickly.
 */
export function startRotating(order: RotatingOrder, compileCachePath: string): Rotating {
  const child = spawn(process.execPath, [programPath], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { NODE_COMPILE_CACHE: compileCachePath, PATH: '/usr/local/bin:/usr/bin:/bin' },
  })
  const answers: RotatingAnswer[] = []
  const count = (wanted: RotatingAnswer['kind']): number => answers.filter(({ kind }) => kind === wanted).length
  const ended = Promise.withResolvers<NodeJS.Signals | null>()
  let onAnswer = (): void => undefined
  let stderr = ''
  // A killed child leaves its order unread: the write's failure says nothing that `ended` does not.
  child.stdin.on('error', cause => {
    stderr += cause.message
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  createInterface({ input: child.stdout }).on('line', line => {
    const answer = JSON.parse(line) as RotatingAnswer // from rotating-child.ts, which is typed to say nothing else
    answers.push(answer)
    onAnswer()
  })
  child.once('error', ended.reject)
  child.once('close', (_status, signal) => {
    ended.resolve(signal)
  })
  child.stdin.write(`${JSON.stringify(order)}\n`)
  const kill = (): void => {
    child.kill('SIGKILL')
  }
  return {
    ...{ answers, ended: ended.promise, kill, stderr: () => stderr },
    async untilRotated(rotations) {
      const enough = Promise.withResolvers<undefined>()
      onAnswer = () => {
        if (count('ready') === order.storePaths.length && count('rotated') >= rotations) enough.resolve(undefined)
      }
      onAnswer()
      await Promise.race([enough.promise, ended.promise])
    },
    async [Symbol.asyncDispose]() {
      kill()
      await ended.promise
    },
  }
}
