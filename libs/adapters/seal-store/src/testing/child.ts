import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type ChildAnswer, type ChildOrder } from './child-orders.ts'

/** A running `store-child.ts`. */
export interface Child extends AsyncDisposable {
  readonly pid: number
  /** All that it has said so far. After {@link Child.kill} this is complete. */
  readonly answers: readonly ChildAnswer[]
  /** Sends an order and waits for its end. One at a time. */
  order(order: ChildOrder): Promise<ChildAnswer>
  /** Sends an order that has no end. */
  send(order: ChildOrder): void
  /** Waits until it has said something that fits. */
  said(fits: (answer: ChildAnswer) => boolean): Promise<ChildAnswer>
  /** SIGKILL, then waits for the end. */
  kill(): Promise<void>
  /** Waits for the end, however it comes. Resolves to the signal that ended it, if one did. */
  readonly ended: Promise<NodeJS.Signals | null>
}

/** How the program is started. */
export interface ChildOptions {
  /** Program and arguments that start it in turn, such as `['unshare', '-rm']`. */
  readonly wrapper?: readonly string[]
  /** A folder where Node keeps compiled code, so that hundreds of children start quickly. */
  readonly compileCachePath?: string
}

const programPath = fileURLToPath(new URL('./store-child.ts', import.meta.url))

/** Starts a child; it is idle until it gets an order, and ends when disposed of. */
export function startChild({ wrapper = [], compileCachePath }: ChildOptions = {}): Child {
  // `env` of coreutils starts the rest, so that there always is a program before the arguments.
  const child = spawn('/usr/bin/env', [...wrapper, process.execPath, programPath], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: compileCachePath === undefined ? {} : { NODE_COMPILE_CACHE: compileCachePath },
  })
  const answers: ChildAnswer[] = []
  const waiting = new Set<() => void>()
  let stderr = ''
  let isEnded = false
  // A killed child leaves its last orders unread: the write's failure says nothing that `ended` does not.
  child.stdin.on('error', cause => {
    stderr += cause.message
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  createInterface({ input: child.stdout }).on('line', line => {
    answers.push(JSON.parse(line) as ChildAnswer) // from store-child.ts, which is typed to say nothing else
    wake()
  })
  const ended = new Promise<NodeJS.Signals | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (_status, signal) => {
      isEnded = true
      resolve(signal)
      wake()
    })
  })

  function wake(): void {
    for (const look of [...waiting]) look()
  }

  function said(fits: (answer: ChildAnswer) => boolean, from = 0): Promise<ChildAnswer> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = answers.slice(from).find(fits)
        if (found === undefined && !isEnded) return
        waiting.delete(look)
        if (found === undefined) reject(new Error(`the child ended without the answer: ${stderr}`))
        else resolve(found)
      }
      waiting.add(look)
      look()
    })
  }

  const send = (order: ChildOrder): void => {
    child.stdin.write(`${JSON.stringify(order)}\n`)
  }

  return {
    pid: child.pid ?? 0,
    answers,
    ended,
    send,
    said,
    order(order) {
      const from = answers.length
      send(order)
      return said(answer => answer.kind === 'done' || answer.kind === 'listed' || answer.kind === 'failed', from)
    },
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end()
      await ended
    },
  }
}
